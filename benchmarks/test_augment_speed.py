"""Augmentation: one compiled function against five operations per image; in step or input."""

import gates
import numpy as np
import pytest
import tensorflow as tf
import workloads
from material import compare
from rig import BATCH_SIZE, STEPS

from dftk.models.augmentation import transforms

pytest_plugins = ["shared_fixtures"]


@pytest.fixture(scope="module")
def images(opened):
    return tf.cast(opened("ram").fetch(np.arange(workloads.BATCH_SIZE)), tf.float32) / 255.0


@pytest.fixture(scope="module")
def randoms():
    shape = workloads.BATCH_SIZE, transforms.NUM_RANDOMS
    return tf.constant(np.random.default_rng(0).random(shape, np.float32))


@tf.function
def notebook_chain(image, random):
    """The notebook's five operations with given random numbers."""
    image = tf.cond(random[0] < 0.5, lambda: tf.image.flip_left_right(image), lambda: image)
    image = tf.image.adjust_brightness(image, -0.2 + 0.4 * random[1])
    image = tf.image.adjust_contrast(image, 0.8 + 0.4 * random[2])
    image = tf.image.adjust_saturation(image, 0.8 + 0.4 * random[3])
    return tf.image.adjust_hue(image, -0.05 + 0.1 * random[4])


def test_augmentation_against_five_ops_per_image(benchmark, images, randoms):
    """Both deliver batches of 32 float images; the same images, given the same random numbers."""
    expected = tf.stack([notebook_chain(*pair) for pair in zip(images, randoms)])
    np.testing.assert_allclose(transforms.flip_and_jitter(images, randoms), expected, atol=1e-5)
    examples = workloads.AUGMENTED_BATCHES * workloads.BATCH_SIZE
    works = workloads.augmentation(images, randoms)
    compare(benchmark, *works, examples, gates.AUGMENTATION)


@pytest.mark.long
def test_augmenting_in_the_step_against_in_the_input(benchmark, rig):
    """Times the whole frozen step. Input and step share the cores of a CPU, but not a GPU."""
    in_step, in_input = rig.in_step_and_in_input()
    loss, expected = in_step()[0], in_input()[0]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)  # not augmented: 7e-5 apart
    examples = STEPS["frozen"] * BATCH_SIZE
    compare(benchmark, in_step, in_input, examples, gates.AUGMENTATION_IN_STEP)
