"""Confidence intervals in closed form, of proportions and of the AUC.

Each slice and each level of a robustness sweep has them; dftk.evaluation.stats.intervals.bootstrap
serves all metrics of whole sets. The closed forms suit small slices and high confidence: they cost
nothing, need no more resamples for a farther tail, and keep a width where the proportion or the AUC
is 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize, stats

from dftk.evaluation.stats import metrics

CONFIDENCE = 0.95
_EDGE = 1e-9


def simultaneous_confidence(count: int) -> float:
    """The confidence of each of `count` intervals such that all of them hold with CONFIDENCE.

    Bonferroni's correction. Without it, one of forty slices is outside its 95 % interval by chance.
    """
    return 1 - (1 - CONFIDENCE) / max(count, 1)


def proportion_interval(
    successes: int, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion; NaN for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    interval = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def auc_interval(
    auc: float, reals: int, fakes: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of an AUC, from its value and the sizes of both classes.

    Method 5 of R. G. Newcombe, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic. Part 2", Statistics in Medicine 25:559-573, 2006: the values t with
    |auc - t| <= z sqrt(V(t)), V being Hanley and McNeil's variance with (m + n)/2 for both sizes.

    Returns:
      low, high in [0, 1]; NaN where the AUC is not defined.
    """
    if np.isnan(auc) or not reals or not fakes:
        return float("nan"), float("nan")
    z = stats.norm.ppf((1 + confidence) / 2)
    pairs_per_image = (reals + fakes) / 2 - 1

    def excess(t: float) -> float:
        correlation = pairs_per_image * ((1 - t) / (2 - t) + t / (1 + t))
        variance = t * (1 - t) * (1 + correlation) / (reals * fakes)
        return abs(auc - t) - z * np.sqrt(variance)

    # At 0 and at 1 the variance is 0, so that an AUC of 0 or 1 would be both ends of the interval.
    inside = min(max(auc, _EDGE), 1 - _EDGE)
    low = optimize.brentq(excess, 0.0, inside) if auc > 0 else 0.0
    high = optimize.brentq(excess, inside, 1.0) if auc < 1 else 1.0
    return float(low), float(high)


def difference_interval(
    first: float, first_interval: Sequence[float], second: float, second_interval: Sequence[float]
) -> tuple[float, float]:
    """Interval of `first - second`, from the interval of each, for independent examples.

    MOVER: G. Y. Zou and A. Donner, Statistics in Medicine 27:1693-1702, 2008
    (doi:10.1002/sim.3095). The interval is too wide if both values come from the same examples.
    """
    difference = first - second
    low = difference - np.hypot(first - first_interval[0], second_interval[1] - second)
    high = difference + np.hypot(first_interval[1] - first, second - second_interval[0])
    return float(low), float(high)


def scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    confidence: float = CONFIDENCE,
) -> dict[str, Any]:
    """Accuracy and AUC with their intervals.

    Args:
      labels: int [n], 0 real, 1 fake.
      probabilities: float [n], of fake.
      threshold: images with this probability or a higher one are called fake.
      confidence: of each interval.

    Returns:
      n, fakes; accuracy, auc, called_fake (the proportion of images called fake);
      accuracy_interval and auc_interval, [low, high]. NaN if undefined: the AUC with one class,
      everything with n = 0.
    """
    n, fakes = len(labels), int(labels.sum())
    called_fake = probabilities >= threshold
    correct = int((called_fake == (labels == 1)).sum())
    auc = metrics.auc(labels, probabilities)
    return {
        "n": n,
        "fakes": fakes,
        "accuracy": correct / n if n else float("nan"),
        "accuracy_interval": list(proportion_interval(correct, n, confidence)),
        "auc": auc,
        "auc_interval": list(auc_interval(auc, n - fakes, fakes, confidence)),
        "called_fake": float(called_fake.mean()) if n else float("nan"),
    }


def is_below(entry: Mapping[str, Any], expected: Mapping[str, Any], score: str) -> bool:
    """Whether the whole interval of a slice's score is below the expected value; not if NaN."""
    return bool(entry[f"{score}_interval"][1] < expected[score])
