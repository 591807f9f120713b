"""Gradients with BatchNorm in TensorFlow's kernel, against the same with Keras's operations."""

import gates
import pytest
import tensorflow as tf
from material import compare

from dftk.models import batchnorm, registry
from dftk.training.config import resolve
from dftk.training.step import gradients

BATCH_SIZE, STEPS = 32, 2


def step(pixels):
    """Returns a function that computes gradients of the base of recipe best, BatchNorm updating."""
    config = resolve({"model": "mobilenetv2_multilevel", "weights": "none", "image_size": 128})
    detector = registry.build(config, "float32", False)
    variables = detector.base.trainable_variables

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(detector.features(pixels, training=True))
        return tape.gradient(total, variables)[0]

    return lambda: [run().numpy() for _ in range(STEPS)]


@pytest.mark.long
def test_batchnorm_by_the_kernel_against_keras_s(benchmark, monkeypatch):
    gradients.add_in_order()
    pixels = tf.random.stateless_uniform((BATCH_SIZE, 128, 128, 3), [1, 2])
    ours = step(pixels)
    monkeypatch.setattr(batchnorm, "fuse_batchnorm", lambda network: network)
    theirs = step(pixels)
    compare(benchmark, ours, theirs, STEPS * BATCH_SIZE, gates.BATCHNORM, rounds=9)
