"""BatchNorm that trains, by the kernel, computes what Keras's does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import batchnorm

RNG = np.random.default_rng(0)
X = tf.constant(RNG.normal(1, 3, (8, 6, 5, 16)), tf.float32)
WEIGHTS = tf.constant(RNG.normal(size=X.shape), tf.float32)


def layer(policy="float32"):
    one = keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.9, dtype=policy)
    one.build(X.shape)
    rng = np.random.default_rng(1)
    for weight in one.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return one


def trained(one, x=X):
    """Output, gradients of input, gamma and beta, and the moving statistics after one call."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = one(x, training=True)
        total = tf.reduce_sum(tf.cast(output, tf.float32) * WEIGHTS)
    gradients = tape.gradient(total, [x, *(weight.value for weight in one.trainable_variables)])
    return [output, *gradients, one.moving_mean.value, one.moving_variance.value]


def test_it_is_keras_s_but_for_rounding():
    fused = layer()
    batchnorm.fuse(fused)
    found, expected = trained(fused), trained(layer())
    assert len(found) == 6
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(fused(X, training=False), layer_like(fused)(X, training=False))


def layer_like(other):
    one = layer()
    one.set_weights(other.get_weights())
    return one


@pytest.mark.parametrize(
    ("policy", "rounding"), [("mixed_bfloat16", 2**-7), ("mixed_float16", 2**-9)]
)
def test_in_half_precision_statistics_and_weights_stay_float32(policy, rounding):
    fused = layer(policy)
    batchnorm.fuse(fused)
    half = tf.cast(X, fused.compute_dtype)
    found, expected = trained(fused, half), trained(layer(), tf.cast(half, tf.float32))
    assert found[0].dtype == half.dtype
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(
            tf.cast(ours, tf.float32), theirs, rtol=2 * rounding, atol=20 * rounding
        )
    for ours, theirs in zip(found[4:], expected[4:]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_a_layer_that_does_not_train_applies_what_it_stored():
    fused = layer()
    batchnorm.fuse(fused)
    fused.trainable = False
    before = fused.get_weights()
    np.testing.assert_array_equal(fused(X, training=True), fused(X, training=False))
    for ours, theirs in zip(fused.get_weights(), before):
        np.testing.assert_array_equal(ours, theirs)
