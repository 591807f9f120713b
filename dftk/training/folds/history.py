"""A row of the history, one an epoch: in words, as TensorBoard scalars, and whether it is sane."""

import dataclasses
import math
from typing import Any

import tensorflow as tf

from dftk.utils.errors import UserError


def in_words(row: dict[str, Any]) -> str:
    """A row as a line for people."""
    speed = f"{row['examples_per_s']:.1f} img/s  {row['input_wait']:.1%} waiting  "
    known = row["examples_per_s"] > 0  # unless each call of this epoch compiled
    return (
        f"loss {row['loss']:.4f}  acc {row['accuracy']:.4f}  val_loss {row['val_loss']:.4f}  "
        f"val_acc {row['val_accuracy']:.4f}  val_auc {row['val_auc']:.4f}  "
        f"{speed if known else ''}{row['seconds']:.0f} s"
    )


def check_finite(row: dict[str, Any]) -> None:
    """Raises UserError where training has run away."""
    if not math.isfinite(row["loss"] + row["val_loss"]):
        raise UserError(
            f"fold {row['fold']}, {row['phase']} epoch {row['epoch']}: loss {row['loss']}, "
            f"val_loss {row['val_loss']}; the state before this epoch is kept; lower the learning "
            f"rate ({row['learning_rate']}) in another --workdir"
        )


def summarize(step: int, row: dict[str, Any]) -> None:
    """Writes a row's scalars to TensorFlow's default summary writer, where there is one."""
    for name, value in row.items():
        if isinstance(value, float):
            tf.summary.scalar(name, value, step=step)


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What training a fold leaves, beside the model's weights."""

    history: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    throughput: dict[str, dict[str, float]]  # by phase
