"""Heads that are trained: from the features of an image to one logit.

They compute in float32, which costs next to nothing. A loss in half precision would cost accuracy.
"""

import keras
import numpy as np
import tensorflow as tf


def dense(width: int, dropout: float, l2: float, seed: int, synchronized: bool) -> keras.Model:
    """Returns the notebook's head: two dense layers, each with BatchNorm and dropout.

    Args:
      width: of the features, float32 [b, width].
      dropout: rate after each dense layer.
      l2: penalty on the dense kernels, without that of the output layer.
      seed: of initial kernels and dropout.
      synchronized: whether BatchNorm statistics are over all replicas, not over each replica's part
        of a batch.

    Returns:
      a model to the logit, float32 [b, 1].
    """
    layers = [keras.Input((width,))]
    for position, units in enumerate((256, 128)):
        layers += [
            keras.layers.Dense(
                units,
                activation="relu",
                kernel_initializer=keras.initializers.GlorotUniform(seed + position),
                kernel_regularizer=keras.regularizers.L2(l2),
                dtype="float32",
            ),
            keras.layers.BatchNormalization(synchronized=synchronized, dtype="float32"),
            keras.layers.Dropout(dropout, seed=seed + position, dtype="float32"),
        ]
    last = keras.initializers.GlorotUniform(seed + 2)
    layers.append(keras.layers.Dense(1, kernel_initializer=last, dtype="float32", name="logit"))
    return keras.Sequential(layers, name="head")


def linear(width: int, dropout: float, l2: float, seed: int, synchronized: bool) -> keras.Model:
    """Returns logistic regression on features of mean 0 and variance 1, with dropout of them.

    Args: as `dense`; l2 is the penalty on the only kernel, which is zero at first.
    """
    norm = keras.layers.BatchNormalization(
        center=False, scale=False, synchronized=synchronized, dtype="float32", name="standardise"
    )
    logit = keras.layers.Dense(
        1,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(l2),
        dtype="float32",
        name="logit",
    )
    drop = keras.layers.Dropout(dropout, seed=seed, dtype="float32")
    return keras.Sequential([keras.Input((width,)), norm, drop, logit], name="head")


def hidden(width: int, dropout: float, l2: float, seed: int, synchronized: bool) -> keras.Model:
    """Returns a head with one dense layer and dropout between features and logit.

    Args: as `dense`; without BatchNorm, `synchronized` has no effect.
    """
    del synchronized
    glorot = keras.initializers.GlorotUniform
    layers = [
        keras.Input((width,)),
        keras.layers.Dense(
            128,
            activation="relu",
            kernel_initializer=glorot(seed),
            kernel_regularizer=keras.regularizers.L2(l2),
            dtype="float32",
        ),
        keras.layers.Dropout(dropout, seed=seed, dtype="float32"),
        keras.layers.Dense(1, kernel_initializer=glorot(seed + 1), dtype="float32", name="logit"),
    ]
    return keras.Sequential(layers, name="head")


def divide_logit(head: keras.Model, by: float) -> None:
    """Divides the weights of the logit, and so the logit, by a positive number.

    Args:
      head: `dense`, `linear` or `hidden`.
      by: the number.
    """
    for variable in head.get_layer("logit").variables:
        variable.assign(variable / by)


def measure_batchnorm(head: keras.Model, features: np.ndarray) -> None:
    """Sets the stored mean and variance of a head's BatchNorm to those over given features.

    If training saw squares of images, the stored ones are those of squares. Features of whole
    images have other means, and the head would say 0.5 at another place.

    Args:
      head: `dense` or `linear`.
      features: float32 [n, width], of whole images.
    """
    inputs = tf.constant(features)
    for layer in head.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            mean, variance = tf.nn.moments(inputs, axes=[0])
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        inputs = layer(inputs, training=False)


HEADS = {"dense": dense, "hidden": hidden, "linear": linear}  # by --head; others in one_class
