"""Paired tests: do two detectors differ by more than chance on the same images?"""

import dataclasses

import numpy as np
from scipy import stats

from dftk.evaluation.stats.closed_form import CONFIDENCE

_ROUNDING = 1e-12  # a smaller standard error is zero but for rounding
_Z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))


@dataclasses.dataclass(frozen=True)
class Difference:
    """Second minus first, its 95 % interval, and the p-value of the hypothesis of no difference."""

    value: float
    low: float
    high: float
    p_value: float


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> Difference:
    """Difference of two AUCs on the same examples, by DeLong's test.

    DeLong, DeLong and Clarke-Pearson 1988 (doi:10.2307/2531595); components from midranks after
    Sun and Xu 2014 (doi:10.1109/LSP.2014.2337313).

    Args:
      labels: int [n], 0 real, 1 fake.
      first, second: float [n], scores of fake.

    Returns:
      NaN if a class has fewer than two examples. Interval and p-value are NaN if the AUCs differ
      but their estimated standard error is zero.
    """
    fake = labels == 1
    fakes, reals = int(fake.sum()), int((~fake).sum())
    if min(fakes, reals) < 2:
        return Difference(*[float("nan")] * 4)
    above, below = zip(*(_components(fake, scores) for scores in (first, second)))
    contrast = np.array([-1.0, 1.0])
    value = float(contrast @ [component.mean() for component in above])
    covariance = np.cov(above) / fakes + np.cov(below) / reals
    error = float(np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
    if error < _ROUNDING:
        return _without_spread(value)
    p_value = float(2 * stats.norm.sf(abs(value) / error))
    return Difference(value, value - _Z * error, value + _Z * error, p_value)


def _components(fake: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each fake, the proportion of reals below it; for each real, that of fakes above it.

    Ties count one half.
    """
    ranks = stats.rankdata(scores)
    fakes, reals = scores[fake], scores[~fake]
    above = (ranks[fake] - stats.rankdata(fakes)) / len(reals)
    below = 1.0 - (ranks[~fake] - stats.rankdata(reals)) / len(fakes)
    return above, below


def _without_spread(value: float) -> Difference:
    """With a standard error of zero, equal values surely do not differ; others are not testable."""
    if abs(value) < _ROUNDING:
        return Difference(0.0, 0.0, 0.0, 1.0)
    return Difference(value, *[float("nan")] * 3)


def mcnemar(first: np.ndarray, second: np.ndarray) -> Difference:
    """Difference of two accuracies on the same examples, by McNemar's exact test.

    The interval is Agresti and Min's (2005, doi:10.1002/sim.1781): Wald's interval with half an
    example added to each of the four cells.

    Args:
      first, second: bool [n], whether each decision was correct.
    """
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = len(first) + 2
    difference, discordant = (gained - lost) / n, (gained + lost + 1) / n
    error = float(np.sqrt((discordant - difference**2) / n))
    p_value = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    value = (gained - lost) / len(first)
    low, high = max(difference - _Z * error, -1.0), min(difference + _Z * error, 1.0)
    return Difference(value, low, high, float(p_value))


def across_folds(first: np.ndarray, second: np.ndarray, folds: int) -> Difference:
    """Mean difference of a score over the folds, by the corrected resampled t-test.

    Nadeau and Bengio 2003 (doi:10.1023/A:1024068626366). Models of different folds share most of
    their training images, so that their scores vary less than independent scores would. The
    uncorrected t-test therefore finds differences that do not exist.

    Args:
      first, second: float [k], the scores on the folds that both detectors have.
      folds: the number of folds of the dataset, k or more.

    Returns:
      all but the mean are NaN if there are fewer than two folds, or if all folds differ equally.
    """
    differences = second - first
    k, value = len(differences), float(np.mean(differences))
    if k < 2:
        return Difference(value, *[float("nan")] * 3)
    test_to_train = 1 / (folds - 1)
    error = float(np.sqrt((1 / k + test_to_train) * differences.var(ddof=1)))
    if error < _ROUNDING:
        return _without_spread(value)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, k - 1)) * error
    p_value = float(2 * stats.t.sf(abs(value) / error, k - 1))
    return Difference(value, value - reach, value + reach, p_value)


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the given order. NaN stays, uncounted."""
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]  # NaNs are last
    scaled = np.array(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(p_values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()
