import json
import os
from pathlib import Path

import numpy as np
import pytest

from dftk.runs.workdir import PREDICTION_COLUMNS
from dftk.utils import files


def test_csv_gives_float32_back_exactly_and_keeps_names_as_text(tmp_path):
    values = np.random.default_rng(0).random(200, np.float32)
    rows = [{"filename": f"{i:05d}", "fold": 0, "label": 1, "probability": float(v)}
            for i, v in enumerate(values)]  # fmt: skip
    files.write_csv(tmp_path / "p.csv", PREDICTION_COLUMNS, rows)
    back = files.read_csv(tmp_path / "p.csv")
    assert [np.float32(row["probability"]) for row in back] == list(values)
    assert back[7]["filename"] == "00007"
    assert (back[0]["fold"], back[0]["label"]) == (0, 1)


def test_json_has_null_for_nan(tmp_path):
    files.write_json(tmp_path / "m.json", {"auc": float("nan"), "folds": [{"f1": 0.5}]})
    assert json.loads((tmp_path / "m.json").read_text()) == {"auc": None, "folds": [{"f1": 0.5}]}


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="disk"), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["model.keras"]


def folder_of(path, text):
    (path / "below").mkdir(parents=True)
    (path / "below" / "data").write_text(text)


def test_a_folder_takes_the_place_of_another(tmp_path):
    path = tmp_path / "model"
    for text in ("old", "new"):
        with files.replacing_folder(path) as temporary:
            folder_of(temporary, text)
        assert (path / "below" / "data").read_text() == text
        assert os.listdir(tmp_path) == ["model"]


def fail_to_rename_to(path, times, monkeypatch):
    """The disk is full when something is first to be called `path`, so many times."""
    real, left = Path.rename, [None] * times

    def rename(source, target):
        if target == path and left:
            left.pop()
            raise OSError(28, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(Path, "rename", rename)


def test_a_folder_that_cannot_take_the_place_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "model"
    folder_of(path, "old")
    fail_to_rename_to(path, 1, monkeypatch)
    with pytest.raises(OSError, match="No space"), files.replacing_folder(path) as temporary:
        folder_of(temporary, "new")
    assert (path / "below" / "data").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


def test_what_cannot_come_back_is_kept_and_named(tmp_path, monkeypatch):
    path = tmp_path / "model"
    folder_of(path, "old")
    fail_to_rename_to(path, 2, monkeypatch)
    words = f"what was at {path} is now at"
    with pytest.raises(OSError, match=words) as raised, files.replacing_folder(path) as temporary:
        folder_of(temporary, "new")
    (kept,) = tmp_path.iterdir()
    assert str(kept) in str(raised.value)
    assert (kept / "below" / "data").read_text() == "old"
