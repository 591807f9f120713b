"""Rows of the history, one an epoch: as a line of text, as TensorBoard scalars, and checked."""

import dataclasses
import math
from typing import Any

import tensorflow as tf

from dftk.utils.errors import UserError


def format_row(row: dict[str, Any]) -> str:
    """Returns a row as a line of text."""
    speed = f"{row['examples_per_s']:.1f} img/s  {row['input_wait']:.1%} waiting  "
    known = row["examples_per_s"] > 0  # not if each call of this epoch compiled
    return (
        f"loss {row['loss']:.4f}  acc {row['accuracy']:.4f}  val_loss {row['val_loss']:.4f}  "
        f"val_acc {row['val_accuracy']:.4f}  val_auc {row['val_auc']:.4f}  "
        f"{speed if known else ''}{row['seconds']:.0f} s"
    )


def check_finite(row: dict[str, Any]) -> None:
    """Raises UserError if the loss or val_loss of a row is not finite."""
    if not math.isfinite(row["loss"] + row["val_loss"]):
        raise UserError(
            f"fold {row['fold']}, {row['phase']} epoch {row['epoch']}: loss {row['loss']}, "
            f"val_loss {row['val_loss']}; the state before this epoch is kept; lower the learning "
            f"rate ({row['learning_rate']}) in another --workdir"
        )


def summarize(step: int, row: dict[str, Any]) -> None:
    """Writes a row's floats to TensorFlow's default summary writer, if there is one.

    Args:
      step: number of the row, from 0 on.
      row: of the history.
    """
    for name, value in row.items():
        if isinstance(value, float):
            tf.summary.scalar(name, value, step=step)


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What training a fold gives beside the model's weights.

    Attributes:
      history: one row an epoch, see dftk.runs.workdir.HISTORY_COLUMNS.
      predictions: of the held-out images, see dftk.runs.workdir.PREDICTION_COLUMNS.
      throughput: by phase.
    """

    history: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    throughput: dict[str, dict[str, float]]
