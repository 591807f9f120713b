import gc
import weakref

import keras
import numpy as np
import tensorflow as tf

from dftk.inference import split_model
from dftk.models import registry
from dftk.runs import saved_models
from dftk.training.config import resolve


def images(*shape):
    return tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def test_the_halves_make_the_model(small_ensemble):
    split = split_model.split(small_ensemble.members[0])
    batch = images(4, 50, 70, 3)
    unit = split.resize(batch)
    assert unit.shape == (4, 48, 48, 3)
    assert unit.dtype == tf.float32
    np.testing.assert_array_equal(split.classify(unit).numpy()[:, 0], small_ensemble(batch)[0])


def test_the_halves_of_a_trained_xception_make_it(trained):
    model = saved_models.load_model(trained.model_path(0))
    split = split_model.split(model)
    batch = images(2, 64, 64, 3)
    ours = split.classify(split.resize(batch)).numpy()
    np.testing.assert_allclose(ours, model(batch, training=False), atol=1e-6)


def test_a_model_that_takes_images_as_they_are_stays_whole():
    image = keras.Input((None, None, 3), dtype="uint8")
    tensor = keras.layers.Conv2D(2, 3)(keras.layers.Rescaling(1 / 255)(image))
    logit = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(tensor))
    model = keras.Model(image, keras.layers.Activation("sigmoid")(logit))
    split = split_model.split(model)
    assert split.resize is None
    batch = images(2, 20, 30, 3)
    np.testing.assert_allclose(split.classify(batch), model(batch), atol=1e-6)


def test_halves_are_made_once_traced_once_and_go_with_their_model():
    model = registry.build(
        resolve({"dataset": "sample", "model": "cnn", "image_size": 32}), "float32", False
    ).model
    split = split_model.split(model)
    assert split_model.split(model) is split
    for shape in ((1, 32, 32, 3), (3, 40, 60, 3)):
        split.classify(split.resize(images(*shape)))
    assert split.resize.experimental_get_tracing_count() == 1
    assert split.classify.experimental_get_tracing_count() == 1
    gone = weakref.ref(model)
    del model, split
    gc.collect()
    assert gone() is None
