"""BatchNorm that trains, in TensorFlow's one kernel for it.

Keras composes it of a dozen operations, each of them a pass over all activations. On a CPU these
also gave the gradient other last bits from call to call; the kernel gives the same ones.
"""

from typing import Any

import keras
import tensorflow as tf


def fuse(layer: keras.layers.BatchNormalization) -> None:
    """Computes what the layer does at `training=True` by the kernel; all else stays as it is.

    It differs by rounding; weights, config and what is saved are Keras's.

    Args:
      layer: with gamma and beta, of activations [b, h, w, c], not synchronized.
    """
    by_keras = layer.call

    def call(inputs: tf.Tensor, training: bool | None = None, **options: Any) -> tf.Tensor:
        if not (training and layer.trainable):
            return by_keras(inputs, training=training, **options)
        output, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=layer.gamma,
            offset=layer.beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=layer.epsilon,
        )
        # The kernel divides the squares by n - 1, Keras by n.
        n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        for moving, seen in (
            (layer.moving_mean, mean),
            (layer.moving_variance, unbiased * ((n - 1) / n)),
        ):
            moving.assign(moving * layer.momentum + seen * (1 - layer.momentum))
        return output

    layer.call = call
