"""One fold of a head that is fitted on real images: what FoldTrainer is to heads that train."""

import math
from typing import Any

import numpy as np

from dftk.input.residency import Examples
from dftk.models.heads import one_class
from dftk.models.registry import Detector
from dftk.runs.saved_models import Ensemble
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.folds import history
from dftk.training.folds.held_out import HeldOut
from dftk.training.folds.history import FoldResult
from dftk.training.resume.checkpoint import Checkpoints
from dftk.training.resume.stop import StopIfAsked
from dftk.training.step import loop
from dftk.training.step.scorer import Scorer
from dftk.utils.errors import UserError
from dftk.utils.progress import Progress, Throughput

_FITTED = 0.8  # of the real images; the rest says where their scores lie
_FALSE_ALARMS = 0.05  # share of the rest to which 0.5 and more is given
_FEWEST = 20  # real images


class FitTrainer:
    """Fits folds one after the other on features that are kept beside the dataset.

    Args: as FoldTrainer's. A fold takes seconds, and is not saved on the way.

    Raises:
      Interrupted: by a signal, while features are made.
      UserError: see FrozenFeatures.
    """

    def __init__(
        self,
        config: Config,
        devices: Devices,
        detector: Detector,
        examples: Examples,
        *,
        stop_if_asked: StopIfAsked | None = None,
    ):
        self._config, self._devices, self._examples = config, devices, examples
        self.detector = detector
        self._scorer = Scorer(detector, devices, loop.Pixels(devices, examples))
        self._saved = Ensemble([detector.model])
        self._stop_if_asked = stop_if_asked or StopIfAsked(devices)
        self._frozen = FrozenFeatures(
            config, devices, detector, self._scorer, examples, self._stop_if_asked
        )

    def run(self, fold: int, checkpoints: Checkpoints) -> FoldResult:
        """Fits the head on the real images of all folds but one; it stays in the model.

        No fake has a part in it. The same seed gives the same head.

        Args:
          fold: the fold held out.
          checkpoints: of this fold; none is written.

        Raises:
          UserError: too few real images.
        """
        del checkpoints
        self._stop_if_asked()
        progress = Progress(f"fold {fold}  fit", len(self._examples.labels), milestone=True)
        real = self._frozen.of(self._real_rows(fold))
        self._fit(real, fold)
        speed = Throughput(len(real), 1, progress.seconds)
        rows = self._examples.rows([fold])
        held_out = HeldOut(fold, rows, self._examples, self.detector, self._scorer,
                           self._config.batch_size, self._frozen.of(rows))  # fmt: skip
        row = self._row(fold, real, held_out, speed)
        row["seconds"] = progress.seconds
        history.check_finite(row)
        history.summarize(0, row)
        predictions = held_out.predict(self._saved, False) if self._devices.chief else []
        progress.close(history.in_words(row))
        speeds, self._frozen.speeds = {**self._frozen.speeds, "fit": speed}, {}
        summaries = {name: speed.summary() for name, speed in speeds.items()}
        return FoldResult([row], predictions, summaries)

    def _real_rows(self, fold: int) -> np.ndarray:
        others = [index for index in range(self._config.folds) if index != fold]
        rows = self._examples.rows(others)
        rows = rows[self._examples.labels[rows] == 0]
        if len(rows) < _FEWEST:
            raise UserError(
                f"fold {fold}: {len(rows)} real images in the other folds, too few for "
                f"--head={self._config.head.kind}; it takes {_FEWEST}"
            )
        return np.random.default_rng([self._config.seed, fold]).permutation(rows)

    def _fit(self, real: np.ndarray, fold: int) -> None:
        """On the first of the features, float32 [n, width]; the rest says what scores mean."""
        fitted = int(_FITTED * len(real))
        estimator, seed = one_class.KINDS[self._config.head.kind](), self._config.seed + fold
        weights = estimator.fit(real[:fitted], seed % 2**32)
        sign = -1.0 if self._config.head.fakes_lie == "inside" else 1.0
        slope, shift = to_logit(sign * estimator.score(real[fitted:]))
        weights["logit"] = [np.array([[sign * slope]]), np.array([shift])]
        one_class.assign(self.detector.head, weights)

    def _row(
        self, fold: int, real: np.ndarray, held_out: HeldOut, speed: Throughput
    ) -> dict[str, Any]:
        logits = self._scorer.logits(real)
        return {
            "fold": fold,
            "phase": "fit",
            "epoch": 1,
            "learning_rate": 0.0,
            "loss": loop.binary_cross_entropy(np.zeros(len(real)), logits),
            "accuracy": float(np.mean(logits < 0)),
            **held_out.validate(False, self._stop_if_asked),
            "examples_per_s": speed.examples_per_s,
            "input_wait": 0.0,
        }


def to_logit(scores: np.ndarray) -> tuple[float, float]:
    """Slope and shift of a score, from what it is on real images that had no part in fitting.

    They are given a probability of 0.5 and more, of being fake, to the share _FALSE_ALARMS that
    lies highest, and that same small probability at their median.

    Args:
      scores: float [n], higher for what is more like a fake.
    """
    middle, high = np.quantile(scores.astype(np.float64), [0.5, 1 - _FALSE_ALARMS])
    spread = max(high - middle, np.finfo(np.float32).tiny)
    slope = math.log(1 / _FALSE_ALARMS - 1) / spread
    return slope, -slope * high
