import shutil

import pytest

from dftk.evaluation import saved_folds
from dftk.evaluation.pages import report
from dftk.runs.members import member_digests, read_current
from dftk.runs.results import VALID_METRICS, read_valid
from dftk.runs.workdir import Workdir
from dftk.utils.files import write_json


@pytest.fixture
def copy(trained_cnn, tmp_path):
    shutil.copytree(trained_cnn.path, tmp_path / "run")
    return Workdir(tmp_path / "run")


def test_each_model_has_a_digest_of_its_own(copy):
    found = member_digests(copy)
    assert list(found) == ["0", "3"]
    assert len(set(found.values())) == 2


def test_a_result_is_current_until_a_model_is_another(copy):
    file = copy.path / "result.json"
    assert read_current(copy, file) is None
    write_json(file, {"members": member_digests(copy), "auc": 0.5})
    assert read_current(copy, file)["auc"] == 0.5
    shutil.copy(copy.model_path(0), copy.model_path(3))
    assert read_current(copy, file) is None


def test_one_that_is_damaged_is_another(copy):
    before = member_digests(copy)
    copy.model_path(3).write_bytes(b"no archive")
    assert member_digests(copy) == {**before, "3": ""}


def test_the_report_does_not_show_what_other_models_scored(copy):
    saved_folds.evaluate(copy, "valid", None)
    report.write(copy)
    page = (copy.path / "report.html").read_text()
    assert "model of fold 3" in page
    shutil.rmtree(copy.fold_dir(3))
    report.write(copy)
    page = (copy.path / "report.html").read_text()
    assert (copy.path / VALID_METRICS).is_file()
    assert read_valid(copy) is None
    assert "Scored by other models than the run has now" in page
    assert "on the untouched split valid" not in page
