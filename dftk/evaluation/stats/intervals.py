"""Confidence intervals of all metrics of a set of predictions.

In closed form where there is one that holds up to the ends (shares, AUC): resamples of ten right
answers are all ten right, and tell nothing of an eleventh. By bootstrap where there is none, all
metrics from the same resamples, computed all at once. A resample is a weight for each example: how
often it was drawn. The examples are sorted once; each metric is then sums along the sorted weights,
for many resamples in one go.
"""

from typing import Any

import numpy as np

from dftk.evaluation.stats import closed_form, metrics
from dftk.models.config import THRESHOLD

_AT_ONCE = 2**20  # weights in memory


def confidence(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float = THRESHOLD
) -> dict[str, list[float] | None]:
    """95 % intervals of every metric of binary_metrics.

    accuracy, precision and recall: Wilson's score interval; auc: Newcombe's; others: percentile
    bootstrap. ece has none: it cannot be negative, so that sampling raises it, and resampling once
    more.

    Args: as `bootstrap`.

    Returns:
      name to [low, high]; None where the metric has no interval or is not defined.
    """
    point = metrics.binary_metrics(labels, probabilities, threshold)
    (tn, fp), (fn, tp) = point["confusion_matrix"]
    drawn = bootstrap(labels, probabilities, threshold)
    found = {
        **drawn,
        "ece": [float("nan")] * 2,
        "accuracy": list(closed_form.share(tn + tp, len(labels))),
        "precision": list(closed_form.share(tp, tp + fp)),
        "recall": list(closed_form.share(tp, tp + fn)),
        "auc": list(closed_form.area(point["auc"], tn + fp, fn + tp)),
    }
    return {name: None if np.isnan(ends).any() else ends for name, ends in found.items()}


def bootstrap(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float = THRESHOLD,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, list[float]]:
    """95 % percentile intervals (Efron 1979) of every metric of binary_metrics.

    Resamples keep the number of reals and of fakes, which whoever collected them has chosen.

    Args:
      labels: int [n], 0 real, 1 fake.
      probabilities: float [n], of fake.
      threshold: fake from here on.
      samples: how many times n examples are drawn.
      seed: of the draws.

    Returns:
      name to [low, high]; NaN where the metric is.
    """
    order = np.argsort(-probabilities, kind="stable")
    labels, probabilities = labels[order].astype(float), probabilities[order].astype(float)
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // len(labels))
    parts = []
    for start in range(0, samples, at_once):
        weights = _draw(labels, min(at_once, samples - start), rng)
        parts.append(weighted_metrics(labels, probabilities, weights, threshold))
    tails = [(1 - closed_form.CONFIDENCE) / 2, (1 + closed_form.CONFIDENCE) / 2]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: np.quantile(value, tails).tolist() for name, value in values.items()}


def describe() -> dict[str, Any]:
    """What the intervals of `confidence` are, for the files that hold them."""
    return {
        "level": closed_form.CONFIDENCE,
        "method": "Wilson (accuracy, precision, recall), Newcombe (auc), bootstrap by class with "
        "1000 resamples (others, but ece)",
    }


def _draw(labels: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    weights = np.zeros([samples, len(labels)])
    for label in (0.0, 1.0):
        (members,) = np.nonzero(labels == label)
        if len(members):
            shares = np.full(len(members), 1 / len(members))
            weights[:, members] = rng.multinomial(len(members), shares, size=samples)
    return weights


def weighted_metrics(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
    """The metrics of binary_metrics for weighted examples, as scikit-learn's sample_weight.

    Args:
      labels: float [n].
      probabilities: float [n], falling.
      weights: float [s, n].
      threshold: fake from here on.

    Returns:
      name to float [s].
    """
    # Equal probabilities are one step of the curves.
    last = np.append(np.nonzero(np.diff(probabilities))[0], len(probabilities) - 1)
    found = np.cumsum(weights * labels, axis=1)[:, last]
    alarms = np.cumsum(weights * (1 - labels), axis=1)[:, last]
    called = int((probabilities[last] >= threshold).sum())
    with np.errstate(invalid="ignore", divide="ignore"):  # one class only: NaN, as told
        return {
            **_decisions(found, alarms, called),
            **_curves(found, alarms),
            "ece": _calibration_error(labels, probabilities, weights),
        }


def _decisions(found: np.ndarray, alarms: np.ndarray, called: int) -> dict[str, np.ndarray]:
    """Of calling fake the first so many steps of the cumulated counts, [s, m]."""
    nothing = np.zeros(len(found))
    tp, fp = (found[:, called - 1], alarms[:, called - 1]) if called else (nothing, nothing)
    fakes, reals = found[:, -1], alarms[:, -1]
    total = fakes + reals
    return {
        "accuracy": (tp + reals - fp) / total,
        "precision": np.where(tp + fp > 0, tp / (tp + fp), 0.0),
        "recall": np.where(fakes > 0, tp / fakes, 0.0),
        "f1": np.where(tp + fp + fakes > 0, 2 * tp / (tp + fp + fakes), 0.0),
    }


def _curves(found: np.ndarray, alarms: np.ndarray) -> dict[str, np.ndarray]:
    """Of the ROC and precision-recall curves through the cumulated counts, [s, m]."""
    start = np.zeros([len(found), 1])
    tpr = np.hstack([start, found / found[:, -1:]])
    fpr = np.hstack([start, alarms / alarms[:, -1:]])
    precision = np.where(found + alarms > 0, found / (found + alarms), 0.0)
    both = (found[:, -1] > 0) & (alarms[:, -1] > 0)
    values = {
        "auc": (np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1),
        "average_precision": (np.diff(tpr) * precision).sum(axis=1),
        "eer": _equal_error_rate(fpr, tpr),
        "tpr_at_1pct_fpr": np.where(fpr <= metrics.MOST_FPR, tpr, 0.0).max(axis=1),
    }
    return {name: np.where(both, value, np.nan) for name, value in values.items()}


def _equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """As metrics.equal_error_rate, for each row."""
    excess = 1.0 - tpr - fpr
    rows = np.arange(len(excess))
    after = np.argmax(excess <= 0.0, axis=1)
    before = np.maximum(after - 1, 0)
    share = excess[rows, before] / (excess[rows, before] - excess[rows, after])
    return fpr[rows, before] + share * (fpr[rows, after] - fpr[rows, before])


def _calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """As metrics.expected_calibration_error, for each row of weights."""
    gaps = weights * (probabilities - labels)
    edges = np.linspace(0.0, 1.0, metrics.BINS + 1)
    bins = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, metrics.BINS - 1)
    sums = np.stack([gaps[:, bins == one].sum(axis=1) for one in np.unique(bins)])
    return np.abs(sums).sum(axis=0) / weights.sum(axis=1)
