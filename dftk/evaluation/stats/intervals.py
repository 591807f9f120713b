"""Confidence intervals of all metrics of a set of predictions.

Proportions and the AUC have closed forms that hold up to 0 and 1. Resampling does not: each
resample of ten correct answers has ten correct answers, which says nothing about an eleventh. The
other metrics are bootstrapped, all from the same resamples. A resample is a weight for each
example: the number of times that it was drawn. The examples are sorted once. Each metric is then a
sum along the sorted weights, computed for many resamples at once.
"""

from typing import Any

import numpy as np

from dftk.evaluation.stats import closed_form, metrics
from dftk.models.config import THRESHOLD

_MAX_WEIGHTS = 2**20  # in memory at once


def metric_intervals(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float = THRESHOLD
) -> dict[str, list[float] | None]:
    """95 % intervals of every metric of binary_metrics.

    accuracy, precision and recall have Wilson's score interval, auc Newcombe's, the others a
    percentile bootstrap interval. ece has none: as it cannot be negative, sampling biases it
    upwards, and resampling does so again.

    Args:
      labels: int [n], 0 real, 1 fake.
      probabilities: float [n], of fake.
      threshold: images with this probability or a higher one are called fake.

    Returns:
      name to [low, high]; None if the metric has no interval or is undefined.
    """
    point = metrics.binary_metrics(labels, probabilities, threshold)
    (tn, fp), (fn, tp) = point["confusion_matrix"]
    found = {
        **bootstrap(labels, probabilities, threshold),
        "ece": [float("nan")] * 2,
        "accuracy": list(closed_form.proportion_interval(tn + tp, len(labels))),
        "precision": list(closed_form.proportion_interval(tp, tp + fp)),
        "recall": list(closed_form.proportion_interval(tp, tp + fn)),
        "auc": list(closed_form.auc_interval(point["auc"], tn + fp, fn + tp)),
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

    Resamples keep the numbers of real and fake images: they were chosen, not sampled.

    Args:
      labels: int [n], 0 real, 1 fake.
      probabilities: float [n], of fake.
      threshold: images with this probability or a higher one are called fake.
      samples: the number of resamples of n examples each.
      seed: of the resampling.

    Returns:
      name to [low, high]; NaN if the metric is NaN.
    """
    order = np.argsort(-probabilities, kind="stable")
    labels, probabilities = labels[order].astype(float), probabilities[order].astype(float)
    rng = np.random.default_rng(seed)
    chunk_size = max(1, _MAX_WEIGHTS // len(labels))
    chunks = []
    for start in range(0, samples, chunk_size):
        weights = _draw(labels, min(chunk_size, samples - start), rng)
        chunks.append(weighted_metrics(labels, probabilities, weights, threshold))
    tails = [(1 - closed_form.CONFIDENCE) / 2, (1 + closed_form.CONFIDENCE) / 2]
    values = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return {name: np.quantile(value, tails).tolist() for name, value in values.items()}


def describe() -> dict[str, Any]:
    """Level and method of `metric_intervals`, for the files that hold the intervals."""
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
            uniform = np.full(len(members), 1 / len(members))
            weights[:, members] = rng.multinomial(len(members), uniform, size=samples)
    return weights


def weighted_metrics(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, threshold: float
) -> dict[str, np.ndarray]:
    """The metrics of binary_metrics for weighted examples, like scikit-learn's sample_weight.

    Args:
      labels: float [n].
      probabilities: float [n], in descending order.
      weights: float [s, n], of s resamples.
      threshold: images with this probability or a higher one are called fake.

    Returns:
      name to float [s].
    """
    # Images of equal probability are one step of the curves.
    last = np.append(np.nonzero(np.diff(probabilities))[0], len(probabilities) - 1)
    true_positives = np.cumsum(weights * labels, axis=1)[:, last]
    false_positives = np.cumsum(weights * (1 - labels), axis=1)[:, last]
    steps = int((probabilities[last] >= threshold).sum())
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN with one class only
        return {
            **_decision_metrics(true_positives, false_positives, steps),
            **_curve_metrics(true_positives, false_positives),
            "ece": _calibration_error(labels, probabilities, weights),
        }


def _decision_metrics(
    true_positives: np.ndarray, false_positives: np.ndarray, steps: int
) -> dict[str, np.ndarray]:
    """Metrics of calling the images of the first `steps` steps fake; cumulated counts [s, m]."""
    tp = fp = np.zeros(len(true_positives))
    if steps:
        tp, fp = true_positives[:, steps - 1], false_positives[:, steps - 1]
    fakes, reals = true_positives[:, -1], false_positives[:, -1]
    total = fakes + reals
    return {
        "accuracy": (tp + reals - fp) / total,
        "precision": np.where(tp + fp > 0, tp / (tp + fp), 0.0),
        "recall": np.where(fakes > 0, tp / fakes, 0.0),
        "f1": np.where(tp + fp + fakes > 0, 2 * tp / (tp + fp + fakes), 0.0),
    }


def _curve_metrics(
    true_positives: np.ndarray, false_positives: np.ndarray
) -> dict[str, np.ndarray]:
    """Metrics of the ROC and precision-recall curves through the cumulated counts, [s, m]."""
    start = np.zeros([len(true_positives), 1])
    tpr = np.hstack([start, true_positives / true_positives[:, -1:]])
    fpr = np.hstack([start, false_positives / false_positives[:, -1:]])
    positives = true_positives + false_positives
    precision = np.where(positives > 0, true_positives / positives, 0.0)
    has_both_classes = (true_positives[:, -1] > 0) & (false_positives[:, -1] > 0)
    values = {
        "auc": (np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1]) / 2).sum(axis=1),
        "average_precision": (np.diff(tpr) * precision).sum(axis=1),
        "eer": _equal_error_rate(fpr, tpr),
        "tpr_at_1pct_fpr": np.where(fpr <= metrics.MAX_FPR, tpr, 0.0).max(axis=1),
    }
    return {name: np.where(has_both_classes, value, np.nan) for name, value in values.items()}


def _equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """metrics.equal_error_rate of each row."""
    excess = 1.0 - tpr - fpr
    rows = np.arange(len(excess))
    after = np.argmax(excess <= 0.0, axis=1)
    before = np.maximum(after - 1, 0)
    fraction = excess[rows, before] / (excess[rows, before] - excess[rows, after])
    return fpr[rows, before] + fraction * (fpr[rows, after] - fpr[rows, before])


def _calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """metrics.expected_calibration_error for each row of weights."""
    gaps = weights * (probabilities - labels)
    edges = np.linspace(0.0, 1.0, metrics.BINS + 1)
    bins = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, metrics.BINS - 1)
    sums = np.stack([gaps[:, bins == index].sum(axis=1) for index in np.unique(bins)])
    return np.abs(sums).sum(axis=0) / weights.sum(axis=1)
