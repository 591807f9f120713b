"""What a head takes from whole training images, where training sees squares of them.

BatchNorm of the head can normalise with mean and variance over whole images: precise BatchNorm (Wu
and Johnson 2021, arXiv:2105.07576, section 3). The logit can be divided by a temperature (Guo et
al. 2017, arXiv:1706.04599), so that probabilities tell how often they are right. Guo et al. fit it
on images that were kept back. Here no images are kept back, and the held-out fold must not take
part because it is to be scored. So it is fitted on training images, of which a model that knows
them by heart is too sure.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from dftk.models.heads import trained as heads
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.step.context import TrainingContext
from dftk.utils.progress import Progress

_KEY = 2**16  # last number of the key; those of dftk.input.batches end on small numbers
_MEASURED = 512  # training images: the mean logit to a twentieth of its standard deviation
_MAX_DOUBLINGS = 4.0  # of the temperature, from 1 up or down


class HeadStatistics:
    """Sets what a head takes from whole training images of a fold.

    Args:
      context: of the run.
      frozen: features of the initial base, if they are kept.
    """

    def __init__(self, context: TrainingContext, frozen: FrozenFeatures | None):
        self._context, self._frozen = context, frozen

    def measure_batchnorm(self, fold: int, rows: np.ndarray, base_trained: bool) -> None:
        """Sets mean and variance of the head's BatchNorm to those over some of the images.

        Args:
          fold: index.
          rows: int64, of the images to train on.
          base_trained: whether the base is no longer the initial one.
        """
        drawn = draw(rows, (self._context.config.seed, fold))
        features = np.concatenate(list(self._feature_batches(drawn, base_trained)))
        heads.measure_batchnorm(self._context.detector.head, features)

    def fit_temperature(self, fold: int, rows: np.ndarray, base_trained: bool) -> float:
        """Divides the logit by the temperature of all images, and returns the temperature.

        Args: as of measure_batchnorm.
        """
        progress = Progress(f"fold {fold}  temperature", len(rows), milestone=True)
        logits, done = [], 0
        for features in self._feature_batches(rows, base_trained):
            logits.append(self._context.forward.logits(features))
            done += len(features)
            progress.update(done)
        found = temperature(np.concatenate(logits), self._context.examples.labels[rows])
        heads.divide_logit(self._context.detector.head, found)
        at_bound = abs(abs(math.log2(found)) - _MAX_DOUBLINGS) < 0.01
        bound = ", as far as it goes" if at_bound else ""
        progress.close(f"{found:.3f}{bound}, fitted on {len(rows)} training images")
        return found

    def _feature_batches(self, rows: np.ndarray, base_trained: bool) -> Iterator[np.ndarray]:
        """Yields features of the rows in their order, float32 [b, width]."""
        if self._frozen and not base_trained:
            for batch in np.array_split(rows, math.ceil(len(rows) / _MEASURED)):
                yield self._frozen.features_of(batch)
            return
        context = self._context
        for features in context.forward.feature_batches(
            context.examples, rows, context.config.batch_size, context.check_stop
        ):
            yield features[:, 0]


def draw(rows: np.ndarray, key: Sequence[int]) -> np.ndarray:
    """Returns the rows of the images to measure, ascending. The same key gives the same rows.

    Args:
      rows: int64, of the images to train on.
      key: non-negative integers such as (seed, fold).
    """
    return np.sort(np.random.default_rng([*key, _KEY]).permutation(rows)[:_MEASURED])


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns what logits are to be divided by for the least cross-entropy.

    Labels are smoothed as by Platt (1999), by one more example of each class. If all decisions are
    right, the least cross-entropy against plain labels would be at infinite logits.

    Args:
      logits: float [n].
      labels: int [n], 0 real, 1 fake.

    Returns:
      a number from 1/16 to 16.
    """
    reals, fakes = np.bincount(labels, minlength=2)
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))

    def loss(doublings: float) -> float:
        scaled = logits.astype(np.float64) / 2**doublings
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled))

    found = minimize_scalar(
        loss, bounds=(-_MAX_DOUBLINGS, _MAX_DOUBLINGS), method="bounded", options={"xatol": 1e-4}
    )
    return float(2**found.x)
