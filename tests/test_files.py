import json
import os

import numpy as np
import pytest

from dftk.evaluation import files
from dftk.evaluation.workdir import PREDICTION_COLUMNS


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
