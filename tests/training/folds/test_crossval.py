"""A whole run on the sample at 32 pixels: the contract of the workdir."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from quick_run import quick_config

from dftk.launch import run
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.files import read_csv


def test_the_workdir_holds_what_the_contract_says(trained):
    for name in ("config.json", "metrics.json", "predictions.csv", "history.csv", "report.html"):
        assert (trained.path / name).stat().st_size > 0
    for name in ("roc.png", "confusion_matrices.png", "history.png"):
        with Image.open(trained.path / "plots" / name) as picture:
            assert min(picture.size) > 300
    assert list((trained.path / "tensorboard" / "fold_0").glob("events.*"))
    assert not list(trained.path.rglob(".*")), "no temporary file is left"


def test_metrics_have_the_promised_shape(trained):
    result = json.loads((trained.path / "metrics.json").read_text())
    assert set(result) == {
        *("folds", "mean", "std", "pooled", "throughput"),
        *("intervals", "threshold", "at_threshold"),
    }
    scores = {"accuracy", "precision", "recall", "f1", "auc"}
    scores |= {"average_precision", "eer", "tpr_at_1pct_fpr", "ece"}
    assert all(set(e) == scores | {"fold", "n", "confusion_matrix"} for e in result["folds"])
    assert set(result["mean"]) == set(result["std"]) == scores
    assert result["pooled"]["n"] == 80 == np.sum(result["pooled"]["confusion_matrix"])
    assert set(result["throughput"]["fold_0"]) == {"frozen", "finetune"}


def test_every_held_out_image_is_predicted_once_by_name(trained, examples):
    rows = read_csv(trained.path / "predictions.csv")
    names = [row["filename"] for row in rows]
    assert len(names) == len(set(names)) == 80
    for row in rows:
        assert row["label"] == ("/fake/" in row["filename"])
        (index,) = np.flatnonzero(examples.filenames == row["filename"])
        assert examples.folds[index] == row["fold"]


def test_the_saved_model_gives_the_predictions_again(trained, examples):
    """Names and probabilities belong together: the notebook paired them by position."""
    for fold in (0, 3):
        model = keras.saving.load_model(trained.model_path(fold), safe_mode=True)
        rows = read_csv(trained.fold_dir(fold) / "predictions.csv")
        index = [int(np.flatnonzero(examples.filenames == row["filename"])[0]) for row in rows]
        probability = model(examples.fetch(index), training=False)[:, 0]
        np.testing.assert_allclose(probability, [row["probability"] for row in rows], atol=1e-6)


def test_history_has_both_phases_of_each_fold(trained):
    rows = read_csv(trained.path / "history.csv")
    assert [(row["fold"], row["phase"], row["epoch"]) for row in rows] == [
        (fold, phase, 1) for fold in (0, 3) for phase in ("frozen", "finetune")
    ]
    assert {row["learning_rate"] for row in rows} == {1e-3}


def test_the_best_weights_are_kept(trained):
    """val_loss of the saved model is the smallest in its history."""
    for fold in (0, 3):
        rows = [row for row in read_csv(trained.path / "history.csv") if row["fold"] == fold]
        predictions = read_csv(trained.fold_dir(fold) / "predictions.csv")
        p = np.array([row["probability"] for row in predictions])
        label = np.array([row["label"] for row in predictions])
        best = min(rows, key=lambda row: row["val_loss"])
        assert np.mean((p >= 0.5) == label) == pytest.approx(best["val_accuracy"])


def test_config_records_versions_device_and_inputs(trained):
    record = trained.config()
    assert record["config"]["image_size"] == 32
    assert record["versions"]["tensorflow"] == tf.__version__
    assert record["inputs"]["dataset"] == "dftk_sample/kfold5/1.0.0"
    assert len(record["inputs"]["dataset_fingerprint"]) == 64
    assert "float32" in record["device"]
    assert "git_revision" in record
    assert record["residency"]["kind"] in ("ram", "device")
    assert "GB of pixels" in record["residency"]["reason"]


def test_the_report_needs_no_other_file(trained):
    page = (trained.path / "report.html").read_text()
    assert not re.search(r"(src|href)=.(?!data:)", page)
    assert page.count("data:image/png;base64,") >= 3
    assert "$" not in re.sub(r"base64,[^']*", "", page), "every placeholder is filled"


def test_running_again_trains_nothing_and_adding_a_fold_trains_only_that(trained, data_dir, capsys):
    before = trained.model_path(0).stat().st_mtime_ns
    first = json.loads((trained.path / "metrics.json").read_text())
    again = run.train(quick_config(data_dir), [0, 3], trained)
    assert "already trained in this workdir: fold 0, 3" in capsys.readouterr().err
    assert again["pooled"] == first["pooled"]
    assert "residency" in trained.config(), "what the last training wrote stays"
    assert trained.model_path(0).stat().st_mtime_ns == before


def test_pixels_may_live_elsewhere_when_a_run_goes_on(trained, data_dir):
    run.train(quick_config(data_dir).replaced(cache="none"), [0, 3], trained)
    assert trained.config()["config"]["cache"] == "none"


@pytest.mark.long
@pytest.mark.parametrize("cache", ["disk", "device", "none"])
def test_every_residency_trains_the_same_model(trained, data_dir, tmp_path, cache):
    workdir = Workdir(tmp_path)
    run.train(quick_config(data_dir).replaced(cache=cache), [0], workdir)
    assert workdir.config()["residency"]["kind"] == cache
    ours, theirs = (read_csv(w.fold_dir(0) / "predictions.csv") for w in (workdir, trained))
    assert ours == theirs


def test_other_settings_are_refused_before_anything_is_touched(trained, data_dir):
    before = {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")}
    other = quick_config(data_dir).replaced(seed=7)
    with pytest.raises(UserError, match=r"holds a run with seed=42, this one has seed=7"):
        run.train(other, [0], trained)
    assert {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")} == before
