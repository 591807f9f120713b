"""The examples that a fold holds out: how training does on them, and what the saved model says."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from dftk.evaluation.stats import metrics
from dftk.input.residency import Examples
from dftk.models.registry import Detector
from dftk.runs.saved_models import Ensemble
from dftk.training.step import loop
from dftk.training.step.scorer import Scorer

_CHECKED = 32  # images that the saved model scores, where features are known
_TOLERANCE = 0.05  # of a probability: bfloat16 with BatchNorm folded, against without


class HeldOut:
    """The held-out examples of one fold.

    Args:
      fold: index.
      rows: int64, theirs.
      examples: all of `train`.
      detector: in training.
      scorer: of it.
      batch_size: global.
      features: what the head sees of them before the base is trained, if it is known.
    """

    def __init__(
        self,
        fold: int,
        rows: np.ndarray,
        examples: Examples,
        detector: Detector,
        scorer: Scorer,
        batch_size: int,
        features: np.ndarray | None = None,
    ):
        self._fold, self._rows, self._examples = fold, rows, examples
        self._detector, self._scorer, self._batch_size = detector, scorer, batch_size
        self._frozen = features
        self._features = features  # as long as the base rests

    def validate(self, base_moved: bool, between: Callable[[], None]) -> dict[str, float]:
        """val_loss, with the L2 penalty as Keras's, val_accuracy and val_auc.

        As long as the base rests, what the head sees of an image stays as it is: it is computed
        once, and the base's forward pass over the fold saved in every epoch but the first.

        Args:
          base_moved: the base was trained since the last call.
          between: called before each batch.
        """
        labels = self._examples.labels[self._rows]
        if self._features is None or base_moved:
            self._features = self._scorer.features(
                self._examples, self._rows, self._batch_size, between
            )
        logits = self._scorer.logits(self._features)
        if not np.isfinite(logits).all():
            return dict.fromkeys(("val_loss", "val_accuracy", "val_auc"), math.nan)
        penalty = float(loop.l2_penalty(self._detector))
        return {
            "val_loss": loop.binary_cross_entropy(labels, logits) + penalty,
            "val_accuracy": float(np.mean((logits >= 0) == labels)),
            "val_auc": metrics.auc(labels, logits),
        }

    def predict(
        self, saved: Ensemble, base_moved: bool = True, temperature: float = 1.0
    ) -> list[dict[str, Any]]:
        """Predictions of the model as it is saved, by the code that later scores the file.

        With frozen features and a base that never moved, only the first images go through the
        whole model: the rest is the head's work on features that are known.

        Args:
          saved: the model.
          base_moved: its base is not the one that the features are of.
          temperature: that its logits were divided by, and with them what rounding makes of them.
        """
        if self._frozen is None or base_moved:
            (probabilities,) = saved.score(self._examples, self._rows)
        else:
            logits = self._scorer.logits(self._frozen)
            probabilities = expit(logits.astype(np.float64))
            (first,) = saved.score(self._examples, self._rows[:_CHECKED])
            off = float(np.abs(first - probabilities[:_CHECKED]).max())
            if off > _TOLERANCE / min(temperature, 1.0):
                raise RuntimeError(f"the saved model is off its frozen features by {off:.3f}")
        return [
            {
                "filename": self._examples.filenames[row],
                "fold": self._fold,
                "label": int(self._examples.labels[row]),
                "probability": float(probability),
            }
            for row, probability in zip(self._rows, probabilities)
        ]
