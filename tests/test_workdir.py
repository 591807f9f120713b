import json
import os

import numpy as np
import pytest

from dftk.config import UserError
from dftk.evaluation import workdir as workdir_lib
from dftk.evaluation.workdir import Workdir

RECORD = {
    "config": {"seed": 1, "weights": "a.h5"},
    "inputs": {"dataset": "x", "weights": "imagenet"},
}


def test_open_writes_config_and_continues_the_same_run(tmp_path):
    workdir = Workdir(tmp_path / "a" / "b")
    workdir.open(RECORD)
    workdir.open(RECORD)
    assert workdir.config() == RECORD


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("config", "seed", 2), ("inputs", "dataset", "y"), ("inputs", "weights", "none")],
)
def test_another_run_is_refused_and_the_field_named(tmp_path, part, name, value):
    workdir = Workdir(tmp_path)
    workdir.open(RECORD)
    workdir.fold_dir(0).mkdir()
    (workdir.fold_dir(0) / "predictions.csv").write_text("filename,fold,label,probability\n")
    other = {**RECORD, part: {**RECORD[part], name: value}}
    with pytest.raises(UserError, match=f"holds a run with {name}=.*, this one has {name}={value}"):
        workdir.open(other)
    assert workdir.config() == RECORD


def test_settings_may_change_as_long_as_no_fold_is_finished(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.open(RECORD)
    other = {**RECORD, "config": {"seed": 2}}
    workdir.open(other)
    assert workdir.config() == other


def test_the_same_weights_at_another_path_are_the_same_run(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.open(RECORD)
    workdir.open({**RECORD, "config": {**RECORD["config"], "weights": "b.h5"}})


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--workdir=.*file/run: cannot write there \("):
        Workdir(tmp_path / "file" / "run").open(RECORD)


def test_a_broken_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "fold_0").mkdir()
    (tmp_path / "fold_0" / "predictions.csv").write_text("filename,fold,label,probability\n")
    with pytest.raises(UserError, match=r"config.json: not JSON"):
        Workdir(tmp_path).open(RECORD)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="no config.json of a run in it"):
        Workdir(tmp_path).config()


def test_a_fold_counts_once_its_predictions_are_there(tmp_path):
    workdir = Workdir(tmp_path)
    for fold in (0, 2, 10):
        workdir.fold_dir(fold).mkdir()
    (workdir.fold_dir(2) / "predictions.csv").write_text("filename,fold,label,probability\n")
    (workdir.fold_dir(10) / "predictions.csv").write_text("filename,fold,label,probability\n")
    (tmp_path / "fold_notes").mkdir()
    assert workdir.finished_folds() == [2, 10]


def test_csv_gives_float32_back_exactly_and_keeps_names_as_text(tmp_path):
    values = np.random.default_rng(0).random(200, np.float32)
    rows = [{"filename": f"{i:05d}", "fold": 0, "label": 1, "probability": float(v)}
            for i, v in enumerate(values)]  # fmt: skip
    workdir_lib.write_csv(tmp_path / "p.csv", workdir_lib.PREDICTION_COLUMNS, rows)
    back = workdir_lib.read_csv(tmp_path / "p.csv")
    assert [np.float32(row["probability"]) for row in back] == list(values)
    assert back[7]["filename"] == "00007"
    assert (back[0]["fold"], back[0]["label"]) == (0, 1)


def test_json_has_null_for_nan(tmp_path):
    workdir_lib.write_json(tmp_path / "m.json", {"auc": float("nan"), "folds": [{"f1": 0.5}]})
    assert json.loads((tmp_path / "m.json").read_text()) == {"auc": None, "folds": [{"f1": 0.5}]}


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="disk"), workdir_lib.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.keras"]
