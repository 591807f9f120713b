import json
import shutil

import pytest

from dftk.evaluation.pages import report
from dftk.runs.workdir import Workdir


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    return Workdir(tmp_path / "run")


def test_writing_twice_changes_nothing(copy):
    first = report.write(copy)
    names = ("metrics.json", "predictions.csv", "history.csv", "report.html")
    before = {name: (copy.path / name).read_bytes() for name in names}
    assert report.write(copy) == first
    assert before == {name: (copy.path / name).read_bytes() for name in names}


def test_names_from_outside_are_escaped(copy):
    record = copy.config()
    record["inputs"]["dataset"] = "<script>alert(1)</script>"
    (copy.path / "config.json").write_text(json.dumps(record))
    report.write(copy)
    page = (copy.path / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_an_undefined_auc_is_a_dash_not_a_crash(copy):
    predictions = copy.fold_dir(0) / "predictions.csv"
    lines = predictions.read_text().splitlines()
    reals = [line for line in lines if "/fake/" not in line]
    predictions.write_text("\n".join(reals) + "\n")
    report.write(copy)
    assert json.loads((copy.path / "metrics.json").read_text())["folds"][0]["auc"] is None
    assert "<td>–</td>" in (copy.path / "report.html").read_text()


def test_text_table():
    scores = dict.fromkeys(("accuracy", "precision", "recall", "f1", "auc"), 0.25)
    fold = {"fold": 3, "n": 80, **scores}
    lines = report.text_table({"folds": [fold], "mean": scores}).splitlines()
    assert lines[1].split() == ["fold", "3", "80", *["0.2500"] * 5]
    assert len(lines) == 2, "one fold has no mean"
    lines = report.text_table({"folds": [fold, fold], "mean": scores}).splitlines()
    assert lines[3].split() == ["mean", *["0.2500"] * 5]
