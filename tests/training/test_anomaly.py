"""A run of --model=anomaly from the command line, on the sample, and what people do with it."""

import keras
import numpy as np
import pytest
from commands import run_command
from PIL import Image

from dftk.utils.files import read_csv


@pytest.mark.long
def test_fitted_on_reals_and_used_as_any_other(data_dir, examples, tmp_path):
    run, image = tmp_path / "run", tmp_path / "one.png"
    given = [
        "--model=anomaly", "--dataset=sample", f"--data_dir={data_dir}",
        "--fold=0,1", "--image_size=32", f"--workdir={run}",
    ]  # fmt: skip
    answer = run_command("train", *given)
    assert answer.returncode == 0, answer.stderr
    rows = read_csv(run / "history.csv")
    assert [(row["fold"], row["phase"]) for row in rows] == [(0, "fit"), (1, "fit")]
    before = read_csv(run / "predictions.csv")
    assert len(before) == 160

    (run / "fold_1" / "predictions.csv").unlink()  # as if killed before its end
    assert run_command("train", *given).returncode == 0
    assert read_csv(run / "predictions.csv") == before

    model = keras.saving.load_model(run / "fold_0" / "model.keras", compile=False)
    pixels = examples.fetch(np.arange(3)).numpy()
    assert model(pixels).shape == (3, 1)

    Image.fromarray(pixels[0]).save(image)
    explained = run_command("predict", f"--model={run}", f"--explain={tmp_path / 'why'}", image)
    assert explained.returncode == 0, explained.stderr
    assert len(list((tmp_path / "why").iterdir())) == 1
    exported = run_command("export", f"--model={run}", f"--output={tmp_path / 'out'}")
    assert exported.returncode == 0, exported.stderr
