import json
import shutil

import pytest
from report_pages import read_results, section

from dftk.evaluation import saved_folds
from dftk.evaluation.pages import model_card
from dftk.runs.workdir import Workdir


@pytest.fixture
def copy(trained_cnn, tmp_path):
    shutil.copytree(trained_cnn.path, tmp_path / "run", ignore=shutil.ignore_patterns("valid_*"))
    return Workdir(tmp_path / "run")


def card_of(workdir):
    results = read_results(workdir)
    return section("model_card", results, card=model_card.card(results))


def test_error_rates_are_of_valid_where_it_is_scored(copy):
    before = model_card.error_rates(read_results(copy))
    assert before["where"] == "held-out folds"
    assert before["reals"] + before["fakes"] == 80
    result = saved_folds.evaluate(copy, "valid", None)
    after = model_card.error_rates(read_results(copy))
    (tn, fp), (fn, tp) = result["at_threshold"]["ensemble"]["confusion_matrix"]
    assert after["where"] == "the untouched split valid"
    assert after["false_alarm_rate"] == fp / (tn + fp)
    assert after["miss_rate"] == fn / (fn + tp)


def test_a_fitted_head_is_not_said_to_have_trained_for_epochs(copy):
    record = copy.config()
    record["config"] |= {"head": "forest", "frozen_epochs": 1, "finetune_epochs": 0}
    (copy.path / "config.json").write_text(json.dumps(record))
    page = card_of(copy)
    assert "a head (forest) fitted once, on features of real images only; seed 42" in page


def test_with_one_fold_and_no_valid_they_are_not_known(copy):
    summary = json.loads((copy.path / "metrics.json").read_text())
    summary["at_threshold"] = {}
    (copy.path / "metrics.json").write_text(json.dumps(summary))
    assert model_card.error_rates(read_results(copy)) is None
    page = card_of(copy)
    assert "Not known" in page


@pytest.mark.parametrize(
    ("dataset", "known"),
    [
        ("rvf10k/kfold5/1.0.0", True),
        ("rvf10k", True),
        ("rvf10k/140k/1.0.0", False),
        ("dftk_images/faces-0123456789ab/1.0.0", False),
        (None, False),
    ],
)
def test_other_images_are_not_called_rvf10ks(dataset, known):
    assert ("StyleGAN" in model_card.limits_of(dataset)) == known


def test_the_card_names_data_training_errors_use_and_limits(copy):
    page = card_of(copy)
    for words in (
        "drawn portraits",
        "cnn at 32 pixels",
        "calls ",
        "no proof",
        "nothing about faces",
    ):
        assert words in page
