import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from dftk.evaluation import saved_folds
from dftk.evaluation.checks import generalisation
from dftk.evaluation.pages import report
from dftk.runs.workdir import Workdir
from dftk.utils.files import write_json


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    return Workdir(tmp_path / "run")


def test_writing_twice_changes_nothing(copy):
    first = report.write(copy).metrics
    names = ("metrics.json", "predictions.csv", "history.csv", "report.html")
    before = {name: (copy.path / name).read_bytes() for name in names}
    assert report.write(copy).metrics == first
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


def test_each_file_is_read_once_and_each_set_scored_once(copy, monkeypatch):
    """A report with all its parts; the numbers of a page all come from one reading."""
    saved_folds.evaluate(copy, "valid", None)
    for name in ("a", "b"):
        folder = copy.path / "tests" / name
        folder.mkdir(parents=True)
        shutil.copy(copy.path / "valid_predictions.csv", folder / "predictions.csv")
        metrics = json.loads((copy.path / "valid_metrics.json").read_text())
        more = {"source": "/a", "broken": [], "in_training": [], "shortcuts": {}, "notes": []}
        write_json(folder / "metrics.json", {**metrics, **more})
    opened, compared = Counter(), []
    real_open, real_compare = Path.open, generalisation.compare

    def counted_open(path, mode="r", *args, **options):
        if "r" in mode and path.suffix in (".csv", ".json"):
            opened[path.relative_to(copy.path).as_posix()] += 1
        return real_open(path, mode, *args, **options)

    def counted_compare(results):
        compared.append(results)
        return real_compare(results)

    monkeypatch.setattr(Path, "open", counted_open)
    monkeypatch.setattr(generalisation, "compare", counted_compare)
    written = report.write(copy)
    assert len(compared) == 1
    assert [one.name for one in written.comparison.test_sets] == ["tests/a", "tests/b"]
    assert set(opened.values()) == {1}, opened
    assert {"config.json", "fold_0/predictions.csv", "fold_3/predictions.csv", "slices.json",
            "tests/b/predictions.csv", "valid_predictions.csv"} <= set(opened)  # fmt: skip
