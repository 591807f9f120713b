import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import preprocess


def chain(image, draws):
    """The definition: tf.image, one image and one operation at a time."""
    flip, brightness, contrast, saturation, hue = (float(draw) for draw in draws)
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
def draws():
    table = np.random.default_rng(1).random((24, 5), np.float32)
    table[5], table[6] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    return table


@pytest.fixture(scope="module")
def expected(draws):
    return np.stack([chain(image, draw) for image, draw in zip(photographs(), draws)])


def test_augment_equals_tf_image_eagerly(draws, expected):
    np.testing.assert_allclose(preprocess.augment(photographs(), draws), expected, atol=1e-5)


def test_augment_equals_tf_image_inside_map(draws, expected):
    dataset = tf.data.Dataset.from_tensor_slices((photographs(), draws)).batch(8)
    batches = list(dataset.map(preprocess.augment, num_parallel_calls=2).as_numpy_iterator())
    np.testing.assert_allclose(np.concatenate(batches), expected, atol=1e-5)


def test_augment_equals_tf_image_inside_a_compiled_step(draws, expected):
    step = tf.function(lambda images, table: preprocess.augment(images, table) * 1.0)
    np.testing.assert_allclose(step(photographs(), draws), expected, atol=1e-5)


def test_augment_leaves_no_trace_of_the_batch(draws):
    images = photographs()
    alone = [preprocess.augment(images[i : i + 1], draws[i : i + 1])[0] for i in range(8)]
    np.testing.assert_allclose(preprocess.augment(images, draws)[:8], alone, atol=1e-5)


@pytest.mark.parametrize("size", [128, 224, 256, 300])
def test_unit_image_is_tf_image_resize(size):
    pixels = np.random.default_rng(2).integers(0, 256, (2, 256, 256, 3), np.uint8)
    unit = preprocess.unit_image(size)(pixels)
    assert unit.dtype == tf.float32
    np.testing.assert_allclose(
        unit, tf.image.resize(tf.cast(pixels, tf.float32), [size, size]) / 255, atol=1e-6
    )


def test_unit_image_keeps_float32_under_a_mixed_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = preprocess.unit_image(32)
    finally:
        keras.config.set_dtype_policy(before)
    pixels = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(1, 32, 32, 3)
    np.testing.assert_allclose(model(pixels), pixels / 255, atol=1e-7)
