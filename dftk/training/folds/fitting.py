"""One fold of a head that is fitted on real images; folds of other heads are in fold.py."""

import math
from typing import Any

import numpy as np

from dftk.models.heads import one_class
from dftk.runs.saved_models import Ensemble
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.folds import history
from dftk.training.folds.held_out import HeldOutFold
from dftk.training.folds.history import FoldResult
from dftk.training.resume.checkpoint import Checkpoints
from dftk.training.step import loop
from dftk.training.step.context import TrainingContext
from dftk.utils.errors import UserError
from dftk.utils.progress import Progress, Throughput

_FIT_SHARE = 0.8  # of the real images; the others calibrate the score
_FALSE_ALARMS = 0.05  # share of the others that gets a probability of 0.5 and more
_FEWEST = 20  # real images


class OneClassTrainer:
    """Fits one-class heads, fold after fold, on features that are kept beside the dataset.

    A fold takes seconds, and is not saved on the way.

    Args:
      context: of the run.

    Attributes:
      detector: with the head of the fold that was fitted last.

    Raises:
      Interrupted: by a signal, while features are computed.
      UserError: see FrozenFeatures.
    """

    def __init__(self, context: TrainingContext):
        self._context, self._config = context, context.config
        self.detector = context.detector
        self._saved = Ensemble([context.detector.model])
        self._frozen = FrozenFeatures(context)

    def run(self, fold: int, checkpoints: Checkpoints) -> FoldResult:
        """Fits the head on the real images of all folds but one. The model then has this head.

        Fakes take no part. The same seed gives the same head.

        Args:
          fold: the fold held out.
          checkpoints: of this fold; none is written.

        Raises:
          UserError: too few real images.
        """
        del checkpoints
        self._context.check_stop()
        examples = self._context.examples
        progress = Progress(f"fold {fold}  fit", len(examples.labels), milestone=True)
        real = self._frozen.features_of(self._real_rows(fold))
        self._fit(real, fold)
        speed = Throughput(len(real), 1, progress.seconds)
        rows = examples.rows([fold])
        held_out = HeldOutFold(fold, rows, self._context, self._frozen.features_of(rows))
        row = self._row(fold, real, held_out, speed)
        row["seconds"] = progress.seconds
        history.check_finite(row)
        history.summarize(0, row)
        predictions = []
        if self._context.devices.chief:
            predictions = held_out.predict(self._saved, base_trained=False)
        progress.close(history.format_row(row))
        # The time of computing features counts as the first fold's.
        speeds, self._frozen.speeds = {**self._frozen.speeds, "fit": speed}, {}
        summaries = {name: speed.summary() for name, speed in speeds.items()}
        return FoldResult([row], predictions, summaries)

    def _real_rows(self, fold: int) -> np.ndarray:
        """Returns the real images of all folds but one, in an order drawn from (seed, fold)."""
        examples = self._context.examples
        rows = examples.rows([index for index in range(self._config.folds) if index != fold])
        rows = rows[examples.labels[rows] == 0]
        if len(rows) < _FEWEST:
            raise UserError(
                f"fold {fold}: {len(rows)} real images in the other folds, too few for "
                f"--head={self._config.head.kind}; it takes {_FEWEST}"
            )
        return np.random.default_rng([self._config.seed, fold]).permutation(rows)

    def _fit(self, real: np.ndarray, fold: int) -> None:
        """Fits the head on the first features, float32 [n, width], and calibrates on the rest."""
        fitted = int(_FIT_SHARE * len(real))
        estimator, seed = one_class.KINDS[self._config.head.kind](), self._config.seed + fold
        weights = estimator.fit(real[:fitted], seed % 2**32)
        sign = -1.0 if self._config.head.fakes_lie == "inside" else 1.0
        slope, shift = calibrate(sign * estimator.score(real[fitted:]))
        weights["logit"] = [np.array([[sign * slope]]), np.array([shift])]
        one_class.assign(self.detector.head, weights)

    def _row(
        self, fold: int, real: np.ndarray, held_out: HeldOutFold, speed: Throughput
    ) -> dict[str, Any]:
        logits = self._context.forward.logits(real)
        return {
            "fold": fold,
            "phase": "fit",
            "epoch": 1,
            "learning_rate": 0.0,
            "loss": loop.binary_cross_entropy(np.zeros(len(real)), logits),
            "accuracy": float(np.mean(logits < 0)),
            **held_out.validate(base_changed=False),
            "examples_per_s": speed.examples_per_s,
            "input_wait": 0.0,
        }


def calibrate(scores: np.ndarray) -> tuple[float, float]:
    """Returns slope and shift from a score to a logit, by real images that it was not fitted on.

    The share _FALSE_ALARMS of them with the highest scores gets a probability of fake of 0.5 and
    more. The median score gets the probability _FALSE_ALARMS.

    Args:
      scores: float [n], higher for what is more like a fake.
    """
    middle, high = np.quantile(scores.astype(np.float64), [0.5, 1 - _FALSE_ALARMS])
    spread = max(high - middle, np.finfo(np.float32).tiny)
    slope = math.log(1 / _FALSE_ALARMS - 1) / spread
    return slope, -slope * high
