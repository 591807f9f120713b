import os

import pytest

from dftk.runs import workdir as workdir_lib
from dftk.runs.workdir import Workdir, workdir_of_model
from dftk.utils.errors import UsageError, UserError

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
    with pytest.raises(UserError, match=r"config.json: not valid JSON"):
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


def test_a_state_too_binds_the_folder_to_its_settings(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.open(RECORD)
    (workdir.begin_fold(0) / "checkpoint").mkdir()
    (workdir.fold_dir(0) / "checkpoint" / "state-000001.npz").write_bytes(b"")
    with pytest.raises(UserError, match="holds a run with seed=1, this one has seed=2"):
        workdir.open({**RECORD, "config": {**RECORD["config"], "seed": 2}})


def test_a_worker_that_does_not_write_only_compares(tmp_path):
    Workdir(tmp_path / "run").open(RECORD, write=False)
    assert not (tmp_path / "run").exists()


def test_what_a_killed_process_left_in_part_is_removed(tmp_path):
    workdir = Workdir(tmp_path)
    (tmp_path / "fold_1" / "checkpoint").mkdir(parents=True)
    for name in ("checkpoint/.part-1.state-000001.npz", ".part-2.model.keras"):
        (tmp_path / "fold_1" / name).write_bytes(b"half")
    (tmp_path / "fold_1" / "train.log").write_text("kept")
    workdir.begin_fold(1)
    assert sorted(path.name for path in (tmp_path / "fold_1").rglob("*")) == [
        "checkpoint", "train.log",
    ]  # fmt: skip


def test_a_fold_is_trained_by_one_process_at_a_time(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workdir_lib, "_LOCK_S", 1)
    workdir = Workdir(tmp_path)
    with workdir.locked(2):
        other = workdir.locked(2)
        with pytest.raises(UserError, match="fold_2: another process trains this fold"):
            other.__enter__()
        with workdir.locked(3):
            pass
    assert "fold 2: another process trains it here; waiting until" in capsys.readouterr().err
    with workdir.locked(2):
        pass


def test_a_lock_file_that_its_owner_removed_is_no_lock(tmp_path):
    workdir = Workdir(tmp_path)
    path = tmp_path / "fold_0" / ".lock"
    with workdir.locked(0):
        path.unlink()  # as the one before does at its end
        with workdir.locked(0):
            assert path.exists()


def test_leftovers_of_a_finished_fold_are_removed(tmp_path):
    (tmp_path / "fold_1" / "checkpoint").mkdir(parents=True)
    (tmp_path / "fold_1" / ".lock").write_text("")
    old, new = tmp_path / ".part-1.metrics.json", tmp_path / ".part-2.metrics.json"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (0, 0))
    Workdir(tmp_path).remove_leftovers(1)
    assert list((tmp_path / "fold_1").iterdir()) == []
    assert (old.exists(), new.exists()) == (False, True), "the new one may be being written"


def test_the_workdir_that_a_model_lies_in(trained, tmp_path):
    found, fold = workdir_of_model(trained.model_path(3))
    assert (found.path, fold) == (trained.path, 3)
    (tmp_path / "fold_3").mkdir()
    assert workdir_of_model(tmp_path / "fold_3" / "model.keras") is None, "no config.json"
    assert workdir_of_model(trained.fold_dir(3) / "other.keras") is None


def test_an_empty_workdir_is_refused():
    """An unset variable of a shell must not fill the current folder."""
    with pytest.raises(UsageError, match="--workdir is empty; give a folder"):
        Workdir("")
