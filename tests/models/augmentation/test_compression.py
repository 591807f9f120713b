"""Blur and JPEG of batches, against scipy's Gaussian and libjpeg's own files."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from dftk.datasets import sample
from dftk.models.augmentation import compression


@pytest.fixture(scope="module")
def images():
    drawn = [sample.draw_portrait(np.random.default_rng(seed)) for seed in range(3)]
    pixels = np.clip(np.stack(drawn)[:, :60, :52], 0, 1)  # sides that are no multiples of 8
    return (np.rint(pixels * 255) / 255).astype(np.float32)


def test_jpeg_is_what_libjpeg_makes_of_it(images):
    qualities = [30, 75, 96]
    found = compression.jpeg(images, tf.constant(qualities, tf.float32)).numpy() * 255
    for image, quality, mine in zip(images, qualities, found):
        pixels = np.rint(image * 255).astype(np.uint8)
        data = tf.io.encode_jpeg(pixels, quality=quality, chroma_downsampling=False)
        theirs = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE").numpy().astype(float)
        assert np.abs(theirs - pixels).mean() > 0.3, "the file loses something"
        off = np.abs(mine - theirs)
        assert off.mean() < 0.5, "it rounds its integers elsewhere"
        assert (off > 3).mean() < 0.02


def test_blur_is_scipys_gaussian(images):
    sigmas = np.array([0.1, 0.7, 1.3], np.float32)
    found = compression.blur(images, sigmas).numpy()
    for image, sigma, mine in zip(images, sigmas, found):
        theirs = ndimage.gaussian_filter(
            image, (sigma, sigma, 0), mode="mirror", radius=(4, 4, 0)
        )  # fmt: skip
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_one_image_in_two_is_left_as_it_is(images):
    randoms = np.array([[0.2, 0.49], [0.9, 0.1], [0.1, 0.9]], np.float32)
    found = compression.random_blur_jpeg(images, randoms).numpy()
    np.testing.assert_array_equal(found[0], images[0])
    blurred = compression.blur(images[1:2], tf.constant([1.22]))[0]
    np.testing.assert_allclose(found[1], blurred, atol=1e-6)
    np.testing.assert_array_equal(found[2], compression.jpeg(images[2:], tf.constant([90.0]))[0])
