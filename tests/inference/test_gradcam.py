import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.inference import gradcam
from dftk.models import registry
from dftk.models.heads import one_class
from dftk.runs import saved_models
from dftk.utils.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
PATCH = 8  # side of what betrays the fakes of `squares`, in pixels


def detector(layers, last=("sigmoid",), pixels=None):
    """As dftk saves them: uint8 in, a nested base, what comes after it, a sigmoid."""
    image = keras.Input((pixels, pixels, 3), dtype="uint8")
    unit = keras.layers.Rescaling(1 / 255, dtype="float32")(image)
    inside = tensor = keras.Input((pixels, pixels, 3))
    convolve = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=
        keras.initializers.GlorotUniform(1))  # fmt: skip
    base = keras.Model(inside, convolve(tensor), name="base")
    tensor = base(unit)
    for layer in layers:
        tensor = layer(tensor)
    for name in last:
        tensor = keras.layers.Activation(name, dtype="float32")(tensor)
    return keras.Model(image, tensor), base


def logit_layer(seed=0):
    return keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed))


def normalised(maps):
    maps = np.maximum(maps, 0)
    return maps / maps.max(axis=(1, 2), keepdims=True)


def test_behind_global_pooling_it_is_the_class_activation_map():
    """The logit is linear in A there: alpha is the dense kernel over the number of pixels
    (Selvaraju et al. 2017, section 3.1), without any gradient taken.
    """
    dense = logit_layer()
    model, base = detector([keras.layers.GlobalAveragePooling2D(), dense])
    maps, probabilities = gradcam.heatmaps(model, IMAGES)
    activation = base(IMAGES.astype(np.float32) / 255).numpy()
    by_hand = normalised(activation @ dense.kernel.numpy()[:, 0])
    assert maps.shape == (3, 16, 16)
    assert maps.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(maps, by_hand, atol=1e-5)
    np.testing.assert_allclose(probabilities, model(IMAGES).numpy()[:, 0], atol=1e-6)


def test_behind_flatten_a_channel_weighs_the_mean_of_its_kernel():
    dense = logit_layer()
    model, base = detector([keras.layers.Flatten(), dense], pixels=16)
    maps, _ = gradcam.heatmaps(model, IMAGES)
    activation = base(IMAGES.astype(np.float32) / 255).numpy()
    alpha = dense.kernel.numpy().reshape(16, 16, 4).mean(axis=(0, 1))
    np.testing.assert_allclose(maps, normalised(activation @ alpha), atol=1e-5)


def test_pooling_after_the_last_convolution_takes_no_detail_from_the_map():
    dense = logit_layer()
    layers = [keras.layers.MaxPooling2D(4), keras.layers.Flatten(), dense]
    model, base = detector(layers, pixels=16)
    maps, _ = gradcam.heatmaps(model, IMAGES)
    with tf.GradientTape() as tape:  # the tape on the whole of it, with nothing split
        activation = base(IMAGES.astype(np.float32) / 255)
        tape.watch(activation)
        tensor = activation
        for layer in layers:
            tensor = layer(tensor)
    alpha = tape.gradient(tensor, activation).numpy().mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, normalised((alpha * activation.numpy()).sum(-1)), atol=1e-5)


def test_where_nothing_speaks_for_fake_the_map_is_zero():
    dense = keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant(-1.0))
    model, _ = detector([keras.layers.GlobalAveragePooling2D(), dense])
    maps, probabilities = gradcam.heatmaps(model, IMAGES)
    assert (maps == 0).all()
    assert (probabilities < 0.5).all()
    np.testing.assert_array_equal(gradcam.overlay(IMAGES[0], maps[0]), IMAGES[0])


def test_half_precision_gives_nearly_the_same_map():
    maps = []
    for policy in ("float32", "mixed_bfloat16"):
        with registry.dtype_policy(policy):
            pool = keras.layers.GlobalAveragePooling2D(dtype="float32")
            model, base = detector([pool, logit_layer()])
        assert base.layers[-1].compute_dtype == ("float32" if len(maps) == 0 else "bfloat16")
        maps.append(gradcam.heatmaps(model, IMAGES)[0])
    np.testing.assert_allclose(*maps, atol=0.03)


@pytest.mark.long
def test_a_saved_xception_of_any_image_size_with_one_trace(trained):
    model = saved_models.load_model(trained.model_path(0))
    ensemble = saved_models.Ensemble([model])
    for shape in ((2, 64, 64, 3), (3, 40, 72, 3)):
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        maps, probabilities = gradcam.heatmaps(model, images)
        assert maps.shape == shape[:3]
        assert ((maps >= 0) & (maps <= 1)).all()
        np.testing.assert_allclose(probabilities, ensemble(tf.constant(images))[0], atol=1e-5)
    assert gradcam._EXPLAINERS[model]._maps.experimental_get_tracing_count() == 1


def test_the_small_network_is_explained_before_its_last_pooling(small_ensemble):
    model = small_ensemble.members[0]
    images = np.random.default_rng(0).integers(0, 256, (2, 60, 48, 3), np.uint8)
    maps, probabilities = gradcam.heatmaps(model, images)
    assert maps.shape == (2, 60, 48)
    assert maps.max() == 1
    np.testing.assert_allclose(probabilities, small_ensemble(tf.constant(images))[0], atol=1e-6)
    activation = gradcam._EXPLAINERS[model]._before[-1].output
    assert activation.shape == (None, 6, 6, 128), "48 pixels, three of the four poolings"


def squares(n, rng):
    """Noise; the fakes have a brighter square somewhere: images, labels, its corners."""
    images = rng.integers(0, 160, (n, 32, 32, 3), np.uint8)
    labels, corners = np.arange(n) % 2, rng.integers(0, 32 - PATCH, (n, 2))
    for image, label, (y, x) in zip(images, labels, corners):
        image[y : y + PATCH, x : x + PATCH] += 90 * label.astype(np.uint8)
    return images, labels, corners


def test_on_a_trained_model_the_hottest_place_is_what_it_decides_by():
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    pool, dense = keras.layers.GlobalAveragePooling2D(), logit_layer()
    second = keras.layers.Conv2D(8, 5, padding="same", activation="relu")
    model, _ = detector([second, pool, dense])
    images, labels, _ = squares(256, rng)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    model.fit(images, labels, epochs=25, batch_size=32, verbose=0)
    images, labels, corners = squares(64, rng)
    maps, probabilities = gradcam.heatmaps(model, images)
    assert ((probabilities >= 0.5) == labels).mean() > 0.9, "it has learnt"
    drops = []
    for image, heat, (y, x) in zip(images[labels == 1], maps[labels == 1], corners[labels == 1]):
        hot, cold = (np.unravel_index(i, heat.shape) for i in (heat.argmax(), heat.argmin()))
        assert y - 2 <= hot[0] <= y + PATCH + 1
        assert x - 2 <= hot[1] <= x + PATCH + 1
        drops.append(gradcam_logit(model, image) - occluded_logits(model, image, hot, cold))
    drops = np.array(drops)
    assert (drops[:, 0] > drops[:, 1]).mean() > 0.9


def gradcam_logit(model, image):
    p = model(image[None]).numpy()[0, 0]
    return np.log(p / (1 - p))


def occluded_logits(model, image, *places):
    logits = []
    for y, x in places:
        covered = image.copy()
        covered[max(0, y - 4) : y + 4, max(0, x - 4) : x + 4] = 80  # the noise's mean
        logits.append(gradcam_logit(model, covered))
    return np.array(logits)


def test_overlay_colours_the_hot_place_and_leaves_the_cold_one():
    image = np.full((8, 8, 3), 100, np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[2, 3] = 1
    laid = gradcam.overlay(image, heat)
    assert laid.dtype == np.uint8
    changed = (laid != image).any(axis=-1)
    assert changed[2, 3]
    assert changed.sum() == 1


@pytest.mark.parametrize(
    ("layers", "last", "message"),
    [
        ([keras.layers.GlobalAveragePooling2D], ("sigmoid", "linear"), "ends in a sigmoid"),
        ([keras.layers.GlobalAveragePooling2D], ("relu",), "ends in a sigmoid"),
    ],
)
def test_what_cannot_be_explained_is_refused(layers, last, message):
    model, _ = detector([*(layer() for layer in layers), logit_layer()], last)
    with pytest.raises(UserError, match=message):
        gradcam.heatmaps(model, IMAGES)


@pytest.mark.parametrize("kind", one_class.KINDS)
def test_of_heads_fitted_on_real_images_all_but_the_forest_are_explained(kind):
    head = one_class.head(kind, 4)
    features = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    one_class.assign(head, one_class.KINDS[kind]().fit(features, 0))
    model, _ = detector([keras.layers.GlobalAveragePooling2D(), head])
    if kind == "forest":
        with pytest.raises(UserError) as refused:
            gradcam.heatmaps(model, IMAGES)
        assert str(refused.value).startswith("Grad-CAM needs a logit with a gradient, and a forest")
        assert "\n" not in str(refused.value)
    else:
        assert gradcam.heatmaps(model, IMAGES)[0].shape == (3, 16, 16)


def test_a_model_without_convolution_is_refused():
    image = keras.Input((None, None, 3), dtype="uint8")
    logit = logit_layer()(keras.layers.GlobalAveragePooling2D(dtype="float32")(image))
    model = keras.Model(image, keras.layers.Activation("sigmoid")(logit))
    with pytest.raises(UserError, match="with a convolution"):
        gradcam.heatmaps(model, IMAGES)
