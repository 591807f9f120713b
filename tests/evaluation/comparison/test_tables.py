import math

import pytest

from dftk.evaluation.comparison import comparison, tables


@pytest.fixture(scope="module")
def compared(trained, trained_cnn):
    return comparison.compare([trained_cnn, trained], None, measure_speed=False)


def test_the_terminal_has_runs_differences_and_a_verdict(compared):
    text = tables.text(compared[0])
    for words in (
        "inference, img/s",
        "not measured",
        "valid: AUC",
        "mean over folds: AUC",
        "On val",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) < 160


def pair(value, p_value):
    test = {"value": value, "low": value - 0.01, "high": value + 0.02, "p_value_adjusted": p_value}
    tests = {"auc": test, "accuracy": test}
    return {"first": "a", "second": "b", "valid": tests, "held_out": tests}


@pytest.mark.parametrize(
    ("value", "p_value", "words"),
    [
        (0.05, 0.001, "b has the higher AUC than a, by 0.0500 (95 % interval 0.0400 to"),
        (-0.05, 0.001, "a has the higher AUC than b, by 0.0500 (95 % interval 0.0300 to"),
        (
            0.05,
            0.2,
            "no difference in AUC is shown between b and a: +0.0500, 95 % interval +0.0400",
        ),
        (math.nan, math.nan, "AUC is undefined"),
    ],
)
def test_the_verdict_in_words(value, p_value, words):
    assert words in tables.verdicts(pair(value, p_value))[0]


def test_p_values():
    assert [tables.p_value(p) for p in (0.0, 0.04321, math.nan)] == [
        "< 1e-16",
        "0.043",
        "–",
    ]
