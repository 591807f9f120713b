"""Gradients that are the same to the bit in every call of a step.

Where an activation is used three times its gradient has three parts, and tf.GradientTape sums them
by AddN. AddN begins with the first part whose memory nobody else still reads
(tensorflow/core/kernels/aggregate_ops.cc). Which part that is depends on timing, and floats that
are summed in another order round differently.
"""

import functools
from collections.abc import Sequence

import tensorflow as tf

from dftk.utils import tensorflow_internals


@functools.cache  # it holds for the process
def add_in_order() -> None:
    """Makes every tf.GradientTape of this process sum parts in the order in which it found them."""
    tensorflow_internals.set_gradient_aggregation(_sum_in_order)


def _sum_in_order(
    parts: Sequence[tf.Tensor | tf.IndexedSlices], default: tensorflow_internals.Aggregation
) -> tf.Tensor | tf.IndexedSlices:
    if len(parts) < 3 or not all(isinstance(part, tf.Tensor) for part in parts):
        return default(parts)
    total = parts[0]
    for part in parts[1:]:
        # Without a Snapshot operation Grappler would make one AddN of these again.
        total = tf.raw_ops.Snapshot(input=total + part)
    return total
