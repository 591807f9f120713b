"""From the vector that a base gives of an image to one logit, all in float32.

It costs next to nothing, and a loss in half precision would.
"""

import keras
import numpy as np
import tensorflow as tf


def dense(width: int, dropout: float, l2: float, seed: int, synchronized: bool) -> keras.Model:
    """The notebook's: two dense layers, each with BatchNorm and dropout; logits float32 [b, 1].

    Args:
      width: of the features, float32 [b, width].
      dropout: rate after each dense layer.
      l2: penalty on the dense kernels, not on the output layer's.
      seed: of initial kernels and dropout.
      synchronized: BatchNorm statistics over all replicas, not over each one's part of a batch.
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
    """Logistic regression on features of mean 0 and variance 1: dropout, then one dense layer.

    Args: as `dense`; l2 is the penalty on the one kernel, which begins at zero.
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
    """One dense layer between features and logit.

    Args: as `dense`; nothing here depends on other replicas.
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
    """Divides the logit by a positive number, in the weights: nothing is added to the model.

    Args:
      head: `dense`, `linear` or `hidden`.
    """
    for variable in head.get_layer("logit").variables:
        variable.assign(variable / by)


def measure_batchnorm(head: keras.Model, features: np.ndarray) -> None:
    """Sets what a head's BatchNorm normalises with to mean and variance over given features.

    Training saw features of squares of images, say; of whole images means differ, and with them
    where the head says 0.5.

    Args:
      head: `dense` or `linear`.
      features: float32 [n, width], as the head shall see them.
    """
    seen = tf.constant(features)
    for layer in head.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            mean, variance = tf.nn.moments(seen, axes=[0])
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        seen = layer(seen, training=False)


HEADS = {"dense": dense, "hidden": hidden, "linear": linear}  # of --head; see also one_class
