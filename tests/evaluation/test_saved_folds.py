import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from images import encoded, picture
from sklearn.metrics import roc_auc_score

from dftk.datasets import catalog
from dftk.evaluation import saved_folds
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import read_csv


def test_held_out_folds_give_metrics_json_again(trained):
    again = saved_folds.evaluate(trained, "train", None)
    first = json.loads((trained.path / "metrics.json").read_text())
    assert again["folds"] == first["folds"]
    assert again["pooled"] == first["pooled"]


def test_valid_is_scored_singly_and_as_an_ensemble(trained):
    result = saved_folds.evaluate(trained, "valid", None)
    written = json.loads((trained.path / "valid_metrics.json").read_text())
    assert (written["folds"], written["ensemble"]) == (result["folds"], result["ensemble"])
    assert set(written) == set(result)
    assert [entry["fold"] for entry in result["folds"]] == [0, 3]
    rows = read_csv(trained.path / "valid_predictions.csv")
    assert len({row["filename"] for row in rows}) == 100 == result["ensemble"]["n"]
    assert all(row["filename"].startswith("valid/") for row in rows)
    members = np.array([[row["fold_0"], row["fold_3"]] for row in rows])
    probability = np.array([row["probability"] for row in rows])
    np.testing.assert_allclose(members.mean(axis=1), probability, atol=1e-7)
    labels = [row["label"] for row in rows]
    assert result["ensemble"]["auc"] == pytest.approx(roc_auc_score(labels, probability))
    chosen = result["threshold"]["value"]
    held_out = json.loads((trained.path / "metrics.json").read_text())
    assert chosen == held_out["threshold"]["value"], "valid has no say in it"
    decided = result["at_threshold"]["ensemble"]
    assert decided["accuracy"] == np.mean((probability >= chosen) == labels)
    low, high = result["intervals"]["ensemble"]["auc"]
    assert low < result["ensemble"]["auc"] < high
    page = (trained.path / "report.html").read_text()
    assert "Not scored yet" not in page
    assert "model of fold 3" in page


def test_a_workdir_without_a_finished_fold_is_named(trained, tmp_path):
    (tmp_path / "config.json").write_text((trained.path / "config.json").read_text())
    with pytest.raises(UserError, match="no finished fold"):
        saved_folds.evaluate(Workdir(tmp_path), "valid", None)


def test_other_data_than_the_trained_on_is_refused(trained, tmp_path):
    record = trained.config()
    record["inputs"]["dataset_fingerprint"] = "0" * 64
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="is not the data that .* was trained on"):
        saved_folds.evaluate(Workdir(tmp_path), "valid", None)


def test_a_damaged_build_is_named_when_the_images_are_gone(trained, tmp_path):
    source, data_dir = tmp_path / "faces", tmp_path / "data"
    for label, name in enumerate(("real", "fake")):
        (source / name).mkdir(parents=True)
        for index in range(6):
            (source / name / f"{index}.jpg").write_bytes(encoded(picture((label, index)), "JPEG"))
    dataset = catalog.open_dataset(str(source), str(data_dir), 2)
    record = trained.config()
    record["config"] |= {"dataset": str(source), "data_dir": str(data_dir), "folds": 2}
    record["inputs"] |= {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint(),
    }
    (tmp_path / "config.json").write_text(json.dumps(record))
    shutil.rmtree(source)
    workdir = Workdir(tmp_path)
    assert saved_folds.open_data(workdir, None)[1].fingerprint() == dataset.fingerprint()

    (build,) = data_dir.glob("dftk_images/*/*")
    (build / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match=f"a build cannot be opened: .*{build}"):
        saved_folds.open_data(workdir, None)


def test_another_number_of_folds_stays_a_wrong_flag(trained, tmp_path):
    record = trained.config()
    config = record["config"]
    dataset = catalog.open_dataset(config["dataset"], config["data_dir"], config["folds"])
    config |= {"dataset": str(Path(dataset.train[0].path).parent), "folds": config["folds"] + 1}
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(UsageError):
        saved_folds.open_data(Workdir(tmp_path), None)
