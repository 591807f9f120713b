import numpy as np
import pytest
import tensorflow as tf

from dftk.models.augmentation import transforms


def chain(image, randoms):
    """The definition: tf.image, one image and one operation at a time."""
    flip, brightness, contrast, saturation, hue = (float(draw) for draw in randoms)
    image = tf.image.flip_left_right(image) if flip < 0.5 else image
    image = tf.image.adjust_brightness(image, -0.2 + 0.4 * brightness)
    image = tf.image.adjust_contrast(image, 0.8 + 0.4 * contrast)
    image = tf.image.adjust_saturation(image, 0.8 + 0.4 * saturation)
    return tf.image.adjust_hue(image, -0.05 + 0.1 * hue)


def photographs(count=24, size=32):
    """Smooth colour fields, noise, greys, black, white and saturated primaries in [0, 1]."""
    rng = np.random.default_rng(0)
    images = rng.random((count, size, size, 3), np.float32)
    images[::3] = np.float32(0.5) + (images[::3] - np.float32(0.5)) / 8
    images[0], images[1], images[2] = 0.0, 1.0, 0.37
    images[3] = [1.0, 0.0, 0.0]
    images[4] = [0.0, 0.5, 0.5]
    return images


@pytest.fixture(scope="module")
def randoms():
    table = np.random.default_rng(1).random((24, 5), np.float32)
    table[5], table[6] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    return table


@pytest.fixture(scope="module")
def expected(randoms):
    return np.stack([chain(image, draw) for image, draw in zip(photographs(), randoms)])


def test_augment_equals_tf_image_eagerly(randoms, expected):
    np.testing.assert_allclose(
        transforms.flip_and_jitter(photographs(), randoms), expected, atol=1e-5
    )


def test_augment_equals_tf_image_inside_map(randoms, expected):
    dataset = tf.data.Dataset.from_tensor_slices((photographs(), randoms)).batch(8)
    batches = list(
        dataset.map(transforms.flip_and_jitter, num_parallel_calls=2).as_numpy_iterator()
    )
    np.testing.assert_allclose(np.concatenate(batches), expected, atol=1e-5)


def test_augment_equals_tf_image_inside_a_compiled_step(randoms, expected):
    step = tf.function(lambda images, table: transforms.flip_and_jitter(images, table) * 1.0)
    np.testing.assert_allclose(step(photographs(), randoms), expected, atol=1e-5)


def test_augment_leaves_no_trace_of_the_batch(randoms):
    images = photographs()
    alone = [transforms.flip_and_jitter(images[i : i + 1], randoms[i : i + 1])[0] for i in range(8)]
    np.testing.assert_allclose(transforms.flip_and_jitter(images, randoms)[:8], alone, atol=1e-5)
