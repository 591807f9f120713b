"""Numbers and names of metrics as people read them."""

import math
from collections.abc import Sequence
from typing import Any

_METRIC_NAMES = {
    "f1": "F1",
    "auc": "AUC",
    "average_precision": "average precision",
    "eer": "EER",
    "tpr_at_1pct_fpr": "TPR at 1 % FPR",
    "ece": "ECE",
}


def number(value: float | None, style: str) -> str:
    """A number in a format such as ".3f"; a dash if undefined, as is an AUC with one class."""
    return "–" if value is None or math.isnan(value) else format(value, style)


def score(value: Any) -> str:
    """A score with four decimals; an interval as its two ends, with three."""
    if isinstance(value, Sequence):
        return " – ".join(number(end, ".3f") for end in value)
    return number(value, ".4f")


def bracketed(interval: Sequence[float | None], style: str = ".3f") -> str:
    """An interval as [low, high]."""
    low, high = (number(end, style) for end in interval)
    return f"[{low}, {high}]"


def percent(value: float | None, name: str) -> str:
    """A metric in percent; but AUC, which is no proportion, as a number."""
    return number(value, ".4f" if name == "auc" else ".2%")


def metric_name(name: str) -> str:
    """The name of a metric in words."""
    return _METRIC_NAMES.get(name, name)
