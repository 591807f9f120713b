"""The fold that is held out: its validation in training, and its predictions by the saved model."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from dftk.evaluation.stats import metrics
from dftk.runs.saved_models import Ensemble
from dftk.training.step import loop
from dftk.training.step.context import TrainingContext

_CHECKED = 32  # images that the saved model scores even if their features are known
_TOLERANCE = 0.05  # of a probability: bfloat16 with BatchNorm folded, against without


class HeldOutFold:
    """The held-out examples of one fold.

    Args:
      fold: index.
      rows: int64 [n], of its examples.
      context: of the run.
      features: of the initial base for these examples, float32 [n, width], if they are known.
    """

    def __init__(
        self,
        fold: int,
        rows: np.ndarray,
        context: TrainingContext,
        features: np.ndarray | None = None,
    ):
        self._fold, self._rows, self._context = fold, rows, context
        self._initial_features = features
        self._features = features  # of the base as it is now

    def validate(
        self, base_changed: bool, before_batch: Callable[[], None] | None = None
    ) -> dict[str, float]:
        """Returns val_loss, with the L2 penalty as in Keras, val_accuracy and val_auc.

        Features are kept as long as the base does not change. So the forward pass of a frozen base
        over the fold is made in the first epoch only.

        Args:
          base_changed: whether the base was trained since the last call.
          before_batch: called before each batch; checks for a stop if not given.
        """
        context = self._context
        if self._features is None or base_changed:
            self._features = context.forward.features(
                context.examples,
                self._rows,
                context.config.batch_size,
                before_batch or context.check_stop,
            )
        logits = context.forward.logits(self._features)
        if not np.isfinite(logits).all():
            return dict.fromkeys(("val_loss", "val_accuracy", "val_auc"), math.nan)
        labels = context.examples.labels[self._rows]
        penalty = float(loop.l2_penalty(context.detector))
        return {
            "val_loss": loop.binary_cross_entropy(labels, logits) + penalty,
            "val_accuracy": float(np.mean((logits >= 0) == labels)),
            "val_auc": metrics.auc(labels, logits),
        }

    def predict(
        self, saved: Ensemble, base_trained: bool = True, temperature: float = 1.0
    ) -> list[dict[str, Any]]:
        """Returns the rows of predictions.csv, by the code that later scores the saved file.

        If the features of the initial base are known and the base was never trained, the whole
        model scores only the first images. They check the rest, which is scored by the head alone.

        Args:
          saved: the model as it is saved.
          base_trained: whether its base is no longer the initial one.
          temperature: by which its logits were divided, and with them their rounding errors.

        Raises:
          RuntimeError: the saved model disagrees with the known features.
        """
        examples, rows = self._context.examples, self._rows
        if self._initial_features is None or base_trained:
            (probabilities,) = saved.score(examples, rows)
        else:
            logits = self._context.forward.logits(self._initial_features)
            probabilities = expit(logits.astype(np.float64))
            (checked,) = saved.score(examples, rows[:_CHECKED])
            error = float(np.abs(checked - probabilities[:_CHECKED]).max())
            if error > _TOLERANCE / min(temperature, 1.0):
                raise RuntimeError(f"the saved model is off its frozen features by {error:.3f}")
        return [
            {
                "filename": examples.filenames[row],
                "fold": self._fold,
                "label": int(examples.labels[row]),
                "probability": float(probability),
            }
            for row, probability in zip(rows, probabilities)
        ]
