import math

from dftk.evaluation.stats.formatting import number


def test_what_is_not_defined_is_a_dash():
    assert [number(value, ".2f") for value in (None, math.nan, 0.5)] == ["–", "–", "0.50"]
