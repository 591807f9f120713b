"""Metrics of an ensemble on images that no member was trained on: each member's, and the mean's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dftk.evaluation.stats import intervals, metrics


def summarize(
    *,
    folds: Sequence[int],
    labels: np.ndarray,
    members: np.ndarray,
    mean: np.ndarray,
    threshold: Mapping[str, Any],
) -> dict[str, Any]:
    """Metrics at 0.5, metrics without a threshold, and decisions at the run's threshold.

    Args:
      folds: of the members.
      labels: int [n], 0 real, 1 fake.
      members: each member's probability of fake, float [folds, n].
      mean: the ensemble's probability as predictions.csv holds it, float [n].
      threshold: the `threshold` of metrics.chosen_threshold. It comes from the held-out folds, so
        that the scored images had no influence on it.

    Returns:
      folds and ensemble, as metrics.binary_metrics; intervals of the ensemble's metrics; threshold,
      as given; at_threshold: folds and ensemble, as metrics.decision_metrics.
    """
    value = threshold["value"]
    return {
        "folds": [
            {"fold": fold, **metrics.binary_metrics(labels, member)}
            for fold, member in zip(folds, members)
        ],
        "ensemble": metrics.binary_metrics(labels, mean),
        "intervals": {**intervals.describe(), "ensemble": intervals.metric_intervals(labels, mean)},
        "threshold": dict(threshold),
        "at_threshold": {
            "folds": [
                {"fold": fold, **metrics.decision_metrics(labels, member >= value)}
                for fold, member in zip(folds, members)
            ],
            "ensemble": metrics.decision_metrics(labels, members.mean(axis=0) >= value),
        },
    }
