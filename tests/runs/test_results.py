import json
import shutil

import pytest
import report_pages

from dftk.evaluation import saved_folds
from dftk.runs import results
from dftk.runs.members import member_digests
from dftk.runs.workdir import Workdir
from dftk.training.config import resolve
from dftk.utils.files import read_csv, write_json


@pytest.fixture
def copy(untouched_cnn, tmp_path):
    return Workdir(shutil.copytree(untouched_cnn, tmp_path / "run"))


def a_test_set(workdir, name, **metrics):
    folder = workdir.path / results.TEST_SETS / name
    folder.mkdir(parents=True)
    shutil.copy(workdir.fold_dir(0) / "predictions.csv", folder / results.PREDICTIONS)
    write_json(folder / results.METRICS, {"source": "/a", **metrics})


def test_what_is_missing_is_none(copy):
    found = report_pages.read_results(copy)
    assert found.record == copy.config()
    assert len(found.predictions) == found.metrics["pooled"]["n"]
    optional = (found.valid, found.valid_slices, found.slices, found.robustness, found.shortcuts)
    assert optional == (None,) * 5
    assert not found.valid_is_outdated
    assert found.test_sets == []


def test_what_other_models_scored_is_outdated(copy):
    saved_folds.evaluate(copy, "valid", None)
    a_test_set(copy, "b", members=member_digests(copy))
    a_test_set(copy, "a", members={"0": "of another run"})
    a_test_set(copy, "old")  # scored by a version that recorded no members
    a_test_set(copy, ".part-1")  # being written
    found = report_pages.read_results(copy)
    assert found.valid == json.loads((copy.path / results.VALID_METRICS).read_text())
    assert found.valid_predictions == read_csv(copy.path / results.VALID_PREDICTIONS)
    sets = {one.name: (one.is_current, len(one.predictions)) for one in found.test_sets}
    assert sets == {"a": (False, 0), "b": (True, 40), "old": (False, 0)}
    shutil.rmtree(copy.fold_dir(3))
    found = report_pages.read_results(copy)
    assert found.valid is None
    assert found.valid_is_outdated
    assert found.valid_predictions == []
    assert found.slices is not None, "its section tells that it is outdated"


def test_a_run_without_scores_on_valid_has_none(untouched_cnn):
    assert results.read_valid(Workdir(untouched_cnn)) is None


@pytest.mark.parametrize(
    ("given", "chooses"),
    [
        ({}, True),
        ({"keep": "last"}, True),  # plateaus of val_loss still move the learning rate
        ({"keep": "last", "decay": "cosine"}, False),
        ({"decay": "cosine"}, True),
        ({"model": "anomaly"}, False),
    ],
)
def test_whether_the_held_out_fold_chooses(given, chooses):
    assert results.chooses_by_held_out(resolve(given).values()) == chooses


def test_a_config_of_an_old_version_has_no_choice_of_weights_and_rates():
    assert results.chooses_by_held_out({"model": "cnn"})
    assert not results.chooses_by_held_out({"head": "dense", "keep": "last", "decay": "cosine"})
    assert not results.chooses_by_held_out({"head": "forest", "keep": "best", "decay": "plateau"})
