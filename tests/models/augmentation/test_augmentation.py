import numpy as np
import tensorflow as tf

from dftk.input.batches import NUM_AUGMENT_RANDOMS
from dftk.models.augmentation import transforms
from dftk.models.augmentation.augmentation import Augmentation, compression
from dftk.training.config import resolve

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 40, 48, 3), np.float32)
TABLE = RNG.random((6, NUM_AUGMENT_RANDOMS), np.float32)


def test_flip_alone_flips_what_the_whole_augmentation_flips():
    found = Augmentation(flip=True, colour=False, crop=None)(IMAGES, TABLE).numpy()
    for image, randoms, got in zip(IMAGES, TABLE, found):
        np.testing.assert_array_equal(got, image[:, ::-1] if randoms[0] < 0.5 else image)
    plain = TABLE.copy()
    plain[:, 1:5] = 0.5  # factors of 1, shifts of 0
    coloured = Augmentation(flip=True, colour=True, crop=None)(IMAGES, plain)
    np.testing.assert_allclose(coloured, found, atol=1e-5)


def test_off_leaves_images_as_they_are():
    found = Augmentation(flip=False, colour=False, crop=None)(IMAGES, TABLE)
    np.testing.assert_array_equal(found, IMAGES)


def test_a_crop_is_pixels_of_the_image_where_its_draws_say():
    randoms = np.array([[0.0, 0.0], [0.99999994, 0.99999994], [0.5, 0.25]], np.float32)
    found = transforms.crop(IMAGES[:3], randoms, 32).numpy()
    for image, got, (top, left) in zip(IMAGES, found, [(0, 0), (8, 16), (4, 4)]):
        np.testing.assert_array_equal(got, image[top : top + 32, left : left + 32])


def test_every_place_is_drawn_alike():
    images = np.arange(10, dtype=np.float32)[None, :, None, None] * np.ones((4000, 1, 8, 1))
    randoms = np.random.default_rng(1).random((4000, 2), np.float32)
    tops = transforms.crop(images, randoms, 8).numpy()[:, 0, 0, 0]
    assert set(tops) == {0, 1, 2}
    assert np.bincount(tops.astype(int)).min() > 1200


def test_cropping_works_in_a_compiled_step_of_unknown_size():
    spec = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, NUM_AUGMENT_RANDOMS])]
    augmentation = Augmentation(flip=True, colour=True, crop=32)
    found = tf.function(augmentation, input_signature=spec)(IMAGES, TABLE)
    assert found.shape[1:] == (32, 32, 3)
    np.testing.assert_allclose(found, augmentation(IMAGES, TABLE), atol=1e-5)


def test_a_view_is_the_mirror_image_where_the_image_would_be_flipped():
    features = RNG.random((6, 2, 4), np.float32)
    augmentation = Augmentation.of(resolve({"augment_colour": False}).augment)
    found = augmentation.choose_view(features, TABLE).numpy()
    for views, randoms, got in zip(features, TABLE, found):
        np.testing.assert_array_equal(got, views[1 if randoms[0] < 0.5 else 0])
    still = Augmentation.of(resolve({"augment": False}).augment)
    np.testing.assert_array_equal(still.choose_view(features[:, :1], TABLE), features[:, 0])


def test_compression_comes_last_and_by_its_own_draws():
    randoms = TABLE.copy()
    randoms[:, 7:9] = [[0.1, 0.1], [0.9, 0.1], [0.1, 0.6], [0.8, 0.8], [0.2, 0.4], [0.3, 0.9]]
    before = Augmentation(flip=True, colour=False, crop=32)(IMAGES, randoms)
    found = Augmentation(flip=True, colour=False, crop=32, compression=True)(IMAGES, randoms)
    np.testing.assert_array_equal(found, compression.random_blur_jpeg(before, randoms[:, 7:9]))
    changed = np.any(found != before, axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, [False, True, True, True, False, True])
    assert Augmentation.of(resolve({"augment_compression": True}).augment).compression
