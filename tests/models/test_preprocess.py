import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import preprocess


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
