"""Gradients of three parts and more: their sum, and its bits."""

import numpy as np
import pytest
import tensorflow as tf

from dftk.models import batchnorm, registry
from dftk.training.config import resolve
from dftk.training.step import gradients


@pytest.fixture(autouse=True)
def in_order():
    gradients.add_in_order()


def test_parts_are_added_in_their_order():
    """In float32 another order loses the one."""
    x = tf.Variable([0.0])

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            a, b, c = (factor * tf.identity(x) for factor in (1.0, -1e9, 1e9))
            total = tf.reduce_sum(c + b + a)
        return tape.gradient(total, x)

    sums = {operation.type for operation in gradient.get_concrete_function().graph.get_operations()}
    assert "Snapshot" in sums
    assert "AddN" not in sums
    first = gradient().numpy()
    assert all(gradient().numpy() == first for _ in range(100))


def test_sparse_parts_are_summed_as_before():
    table = tf.Variable(tf.ones([4, 2]))
    with tf.GradientTape() as tape:
        total = sum(tf.reduce_sum(tf.gather(table, [row, 1])) for row in (0, 2, 3))
    found = tf.convert_to_tensor(tape.gradient(total, table))
    np.testing.assert_array_equal(found, [[1, 1], [3, 3], [1, 1], [1, 1]])


@pytest.mark.parametrize(
    "kernel",
    ["TensorFlow's", pytest.param("Keras's", marks=pytest.mark.slow)],  # three parts a layer
)
def test_a_step_gives_the_same_bits_in_every_call(kernel, monkeypatch):
    """With AddN, and Keras's BatchNorm, other gradients came in two calls of six."""
    if kernel == "Keras's":
        monkeypatch.setattr(batchnorm, "fuse_batchnorm", lambda network: network)
    config = resolve({"model": "mobilenetv2_multilevel", "weights": "none", "image_size": 128})
    detector = registry.build(config, "float32", False)
    variables = detector.base.trainable_variables
    weights = tf.random.stateless_normal((detector.width, 1), [1, 2])

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            logits = detector.features(images, training=True) @ weights
            loss = tf.reduce_sum(tf.nn.softplus(logits))
        return tape.gradient(loss, variables)

    images = tf.random.stateless_uniform((32, 128, 128, 3), [3, 4])
    first = [gradient.numpy() for gradient in step(images)]
    for _ in range(6):
        for ours, theirs in zip(step(images), first):
            np.testing.assert_array_equal(ours, theirs)
