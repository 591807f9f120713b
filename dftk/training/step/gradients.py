"""Gradients that come out the same to the bit however fast each of their parts was ready.

Where an activation goes three ways its gradient has three parts, and GradientTape adds them by
AddN. That begins with the first part whose memory nobody else still reads (tensorflow/core/kernels/
aggregate_ops.cc): a matter of timing, and floats added in another order round otherwise.
"""

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import backprop


def add_in_order() -> None:
    """From here on every GradientTape of this process adds parts in the order it found them."""
    # No public name leads here.
    tape = backprop._default_vspace._replace(aggregate_fn=_added)
    pywrap_tfe.TFE_Py_RegisterVSpace(tape)


def _added(parts: Sequence[tf.Tensor | tf.IndexedSlices]) -> tf.Tensor | tf.IndexedSlices:
    if len(parts) < 3 or not all(isinstance(part, tf.Tensor) for part in parts):
        return backprop._aggregate_grads(parts)
    total = parts[0]
    for part in parts[1:]:
        # Without a Snapshot Grappler would make one AddN of these again.
        total = tf.raw_ops.Snapshot(input=total + part)
    return total
