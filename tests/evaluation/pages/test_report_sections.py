import json

import pytest

from dftk.evaluation.pages import report_sections


@pytest.fixture
def summary(trained):
    return json.loads((trained.path / "metrics.json").read_text())


def test_each_fold_is_decided_by_the_others_threshold(summary):
    page = report_sections.threshold(summary)
    for entry in summary["at_threshold"]["folds"]:
        assert f"<td>{entry['fold']}</td><td>{entry['threshold']:.4f}</td>" in page
    assert f"{summary['threshold']['value']:.4f}" in page


def test_one_fold_cannot_test_its_threshold(summary):
    page = report_sections.threshold({**summary, "at_threshold": {}})
    assert "takes a second fold" in page


def test_cards_have_value_interval_and_spread(summary):
    page = report_sections.cards(summary)
    low, high = summary["intervals"]["pooled"]["auc"]
    assert f"{summary['pooled']['auc']:.4f}" in page
    assert f"95 %: {low:.3f} – {high:.3f}" in page
    assert "±" in page


def test_decisions_that_are_always_the_same_are_told(summary):
    (tn, fp), (fn, tp) = summary["pooled"]["confusion_matrix"]
    pooled = {**summary["pooled"], "confusion_matrix": [[tn + fp, 0], [fn + tp, 0]]}
    page = report_sections.held_out({**summary, "pooled": pooled})
    assert "every image is called real and none fake; precision is then undefined" in page
    pooled["confusion_matrix"] = [[tn, fp + 1], [fn, tp + 1]]
    if tn + fn:
        assert "every image" not in report_sections.held_out({**summary, "pooled": pooled})


def test_rankings_have_a_table_of_their_own(summary):
    page = report_sections.held_out(summary)
    assert page.count("<table>") == 2
    assert "TPR at 1 % FPR" in page
