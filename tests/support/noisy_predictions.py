"""Predictions with noise, for metrics and their intervals."""

import numpy as np


def noisy(seed=0, n=500):
    """Labels and overlapping probabilities, some of them equal."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return labels, np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1).round(2)
