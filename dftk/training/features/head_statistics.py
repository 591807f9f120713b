"""What a head takes from training images as they are, where training sees squares of them.

Its BatchNorm, what it normalises with: precise BatchNorm in the words of Wu and Johnson 2021
(arXiv:2105.07576, section 3). Its logit, how sure it is: temperature scaling, Guo et al. 2017
(arXiv:1706.04599), who fit it on images that were kept back. Here none are, and the fold held out
has no say, for it is to be scored: training images do it, of which a model that has them by heart
is too sure.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from dftk.input.residency import Examples
from dftk.models.heads import trained as heads
from dftk.models.registry import Detector
from dftk.training.config import Config
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.step.scorer import Scorer
from dftk.utils.progress import Progress

_DRAW = 2**16  # ends the key; those of dftk.input.batches end on small numbers
_MEASURED = 512  # training images: the mean logit to a twentieth of its standard deviation
_DOUBLINGS = 4.0  # of the temperature at most, from 1 up or down


class WholeImages:
    """What a head takes from the training images of a fold.

    Args:
      config: of the run.
      detector: whose head it is.
      scorer: of the detector.
      examples: all of `train`.
      frozen: what the head sees of them before the base is trained, if that is kept.
      between: called before each batch that has to be computed.
    """

    def __init__(
        self,
        config: Config,
        detector: Detector,
        scorer: Scorer,
        examples: Examples,
        frozen: FrozenFeatures | None,
        between: Callable[[], None],
    ):
        self._seed, self._batch_size, self._between = config.seed, config.batch_size, between
        self._head, self._scorer = detector.head, scorer
        self._examples, self._frozen = examples, frozen

    def measure_batchnorm(self, fold: int, rows: np.ndarray, at_rest: bool) -> None:
        """Sets what the head's BatchNorm normalises with, by some of the images.

        Args:
          fold: index.
          rows: int64, of the images to train on.
          at_rest: the base is as it was before any training.
        """
        drawn = draw(rows, (self._seed, fold))
        heads.measure_batchnorm(self._head, np.concatenate(list(self._features(drawn, at_rest))))

    def scale_logit(self, fold: int, rows: np.ndarray, at_rest: bool) -> float:
        """Divides the logit by the temperature of all images, and returns that.

        Args: as of measure_batchnorm.
        """
        progress = Progress(f"fold {fold}  temperature", len(rows), milestone=True)
        logits, done = [], 0
        for features in self._features(rows, at_rest):
            logits.append(self._scorer.logits(features))
            done += len(features)
            progress.update(done)
        found = temperature(np.concatenate(logits), self._examples.labels[rows])
        heads.divide_logit(self._head, found)
        bound = ", as far as it goes" if abs(abs(math.log2(found)) - _DOUBLINGS) < 0.01 else ""
        progress.close(f"{found:.3f}{bound}, fitted on {len(rows)} training images")
        return found

    def _features(self, rows: np.ndarray, at_rest: bool) -> Iterator[np.ndarray]:
        """Parts of them, float32 [b, width]."""
        if self._frozen and at_rest:
            for part in np.array_split(rows, math.ceil(len(rows) / _MEASURED)):
                yield self._frozen.of(part)
        else:
            parts = (self._examples, rows, self._batch_size, self._between)
            for found in self._scorer.views(*parts):
                yield found[:, 0]


def draw(rows: np.ndarray, key: Sequence[int]) -> np.ndarray:
    """The rows of the images to measure, ascending; the same ones for the same key.

    Args:
      rows: int64, of the images to train on.
      key: non-negative integers such as (seed, fold).
    """
    return np.sort(np.random.default_rng([*key, _DRAW]).permutation(rows)[:_MEASURED])


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What logits are to be divided by for the least cross-entropy.

    Against labels as Platt (1999) smooths them, by one more example of each class: where all
    decisions are right, plain labels would ask for infinite logits.

    Args:
      logits: float [n].
      labels: int [n], 0 real, 1 fake.

    Returns:
      between 1/16 and 16.
    """
    reals, fakes = np.bincount(labels, minlength=2)
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))

    def loss(doublings: float) -> float:
        scaled = logits.astype(np.float64) / 2**doublings
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled))

    found = minimize_scalar(
        loss, bounds=(-_DOUBLINGS, _DOUBLINGS), method="bounded", options={"xatol": 1e-4}
    )
    return float(2**found.x)
