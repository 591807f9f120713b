"""A run of a multilevel model from the command line, on the sample."""

import json

import keras
import numpy as np
import pytest
from commands import run_command

from dftk.utils.files import read_csv


@pytest.mark.slow
def test_features_once_for_all_folds_then_fine_tuning_and_what_people_do_with_it(
    data_dir, examples, tmp_path
):
    run = tmp_path / "run"
    given = [
        "--model=mobilenetv2_multilevel", "--dataset=sample", f"--data_dir={data_dir}",
        "--fold=0,1",
        "--weights=none", "--image_size=48", "--batch_size=16", "--max_examples=200",
        "--frozen_epochs=3", "--finetune_epochs=1", "--finetune_lr=1e-3", "--crop_size=32",
        "--warmup=4", f"--workdir={run}",
    ]  # fmt: skip
    answer = run_command("train", *given)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("\nfeatures  ") == 1, "made once, for both folds"
    rows = read_csv(run / "history.csv")
    assert [(row["fold"], row["phase"]) for row in rows] == [
        (fold, phase) for fold in (0, 1) for phase in (*["frozen"] * 3, "finetune")
    ]
    assert rows[0]["learning_rate"] > rows[2]["learning_rate"], "along a cosine"
    assert len(read_csv(run / "predictions.csv")) == 80
    first, second = json.loads((run / "metrics.json").read_text())["throughput"].values()
    assert set(first) == {"features", "frozen", "finetune"}, "whose time is the first fold's"
    assert set(second) == {"frozen", "finetune"}
    assert first["features"]["train_seconds"] > 0

    model = keras.saving.load_model(run / "fold_0" / "model.keras", compile=False)
    pixels = examples.fetch(np.arange(3)).numpy()
    assert model(pixels).shape == (3, 1)

    from PIL import Image

    Image.fromarray(pixels[0]).save(tmp_path / "one.png")
    why = tmp_path / "why"
    explained = run_command("predict", f"--model={run}", f"--explain={why}", tmp_path / "one.png")
    assert explained.returncode == 0, explained.stderr
    assert len(list(why.iterdir())) == 1
