"""Confidence intervals in closed form: of shares, and of areas under a ROC curve.

Every slice and every level of a sweep has one. dftk.evaluation.stats.intervals.bootstrap serves all
metrics of whole sets. The closed forms serve small parts and high confidence: they cost nothing,
need no more resamples for a farther tail, and are not a point where a share or an area is 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize, stats

from dftk.evaluation.stats import metrics

CONFIDENCE = 0.95
_EDGE = 1e-9


def together(count: int) -> float:
    """The confidence of each of `count` intervals at which all hold together with CONFIDENCE.

    Bonferroni's: who looks at forty slices finds one below any 95 % interval by chance alone.
    """
    return 1 - (1 - CONFIDENCE) / max(count, 1)


def share(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a binomial share; NaN for n = 0."""
    if n == 0:
        return float("nan"), float("nan")
    interval = stats.binomtest(hits, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def area(auc: float, reals: int, fakes: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of an AUC, from its value and the size of both classes alone.

    Method 5 of R. G. Newcombe, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic. Part 2", Statistics in Medicine 25:559-573, 2006: the values t with
    |auc - t| <= z sqrt(V(t)), V being Hanley and McNeil's variance with (m + n)/2 for both sizes.

    Returns:
      low, high in [0, 1]; NaN where the AUC is not defined.
    """
    if np.isnan(auc) or not reals or not fakes:
        return float("nan"), float("nan")
    z = stats.norm.ppf((1 + confidence) / 2)
    more = (reals + fakes) / 2 - 1

    def beyond(t: float) -> float:
        variance = t * (1 - t) * (1 + more * ((1 - t) / (2 - t) + t / (1 + t))) / (reals * fakes)
        return abs(auc - t) - z * np.sqrt(variance)

    # At 0 and 1 the variance is 0: an AUC of just these would be a solution of its own there.
    inside = min(max(auc, _EDGE), 1 - _EDGE)
    low = optimize.brentq(beyond, 0.0, inside) if auc > 0 else 0.0
    high = optimize.brentq(beyond, inside, 1.0) if auc < 1 else 1.0
    return float(low), float(high)


def difference(
    value: float, interval: Sequence[float], other: float, of_other: Sequence[float]
) -> tuple[float, float]:
    """Interval of `value - other`, of independent examples, from the interval of each.

    MOVER: G. Y. Zou and A. Donner, Statistics in Medicine 27:1693-1702, 2008
    (doi:10.1002/sim.3095). Wider than need be where both are of the same examples.
    """
    gap = value - other
    low = gap - np.hypot(value - interval[0], of_other[1] - other)
    return float(low), float(gap + np.hypot(interval[1] - value, other - of_other[0]))


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
      threshold: fake from here on.
      confidence: of each interval.

    Returns:
      n, fakes; accuracy, auc, called_fake (the share at or above the threshold); accuracy_interval
      and auc_interval [low, high]. NaN where undefined: AUC with one class, everything with n = 0.
    """
    n, fakes = len(labels), int(labels.sum())
    called = probabilities >= threshold
    hits = int((called == (labels == 1)).sum())
    auc = metrics.auc(labels, probabilities)
    return {
        "n": n,
        "fakes": fakes,
        "accuracy": hits / n if n else float("nan"),
        "accuracy_interval": list(share(hits, n, confidence)),
        "auc": auc,
        "auc_interval": list(area(auc, n - fakes, fakes, confidence)),
        "called_fake": float(called.mean()) if n else float("nan"),
    }


def is_below(entry: Mapping[str, Any], expected: Mapping[str, Any], score: str) -> bool:
    """Whether the interval of a part's score lies wholly below the value expected of it."""
    return bool(entry[f"{score}_interval"][1] < expected[score])  # NaN is below nothing
