import math

from dftk.evaluation.pages import formatting


def test_what_is_not_defined_is_a_dash():
    numbers = [formatting.number(value, ".2f") for value in (None, math.nan, 0.5)]
    assert numbers == ["–", "–", "0.50"]


def test_a_score_may_be_an_interval():
    assert formatting.score(0.25) == "0.2500"
    assert formatting.score([0.1, 0.23456]) == "0.100 – 0.235"
    assert formatting.score(None) == "–"
    assert formatting.bracketed([0.1, None]) == "[0.100, –]"
    assert formatting.bracketed([-0.1, 0.2], "+.3f") == "[-0.100, +0.200]"


def test_auc_is_no_percentage():
    assert formatting.percent(0.5, "auc") == "0.5000"
    assert formatting.percent(0.5, "accuracy") == "50.00%"
    assert [formatting.metric_name(name) for name in ("auc", "recall")] == ["AUC", "recall"]
