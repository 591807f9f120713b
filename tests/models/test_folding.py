import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import folding, registry
from dftk.models.backbones import applications

IMAGES = tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32))


def with_statistics(model):
    """Statistics, scales and offsets as training would leave them: none is trivial."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.moving_mean.shape[0]
            layer.moving_mean.assign(rng.normal(0, 0.1, n))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, n))
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, n))
            if layer.center:
                layer.beta.assign(rng.normal(0, 0.1, n))
    return model


@pytest.fixture(scope="module")
def base():
    return with_statistics(applications.network("Xception")(None))


def folded_layers(model):
    return [layer for layer in model.layers if isinstance(layer, folding.FoldedConvolution)]


def test_all_forty_of_xception_are_folded_and_nothing_changes(base):
    folded = folding.fold_batchnorm(base)
    assert len(folded_layers(folded)) == 40
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    expected = base(IMAGES, training=False).numpy()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(folded(IMAGES), expected, atol=2e-5 * np.abs(expected).max())


def test_gradients_of_all_154_weights_are_those_of_the_original(base):
    def gradients(model):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(IMAGES, training=False)))
        return tape.gradient(loss, [v.value for v in base.trainable_variables])

    ours, theirs = gradients(folding.fold_batchnorm(base)), gradients(base)
    assert len(ours) == 154
    for a, b in zip(ours, theirs):
        assert np.linalg.norm(a - b) <= 1e-2 * np.linalg.norm(b), "rounding, at kinks of ReLU"


@pytest.mark.parametrize(("policy", "digits"), [("mixed_bfloat16", 2), ("mixed_float16", 3)])
def test_in_half_precision_the_original_is_no_closer_to_float32(base, policy, digits):
    """Scale and kernel are multiplied in float32, and rounded once."""
    with registry.dtype_policy(policy):
        half = applications.network("Xception")(None)
    half.set_weights(base.get_weights())
    folded = folding.fold_batchnorm(half)
    assert folded(IMAGES).dtype == policy.split("_")[1]
    exact = base(IMAGES, training=False).numpy()
    off = [
        np.linalg.norm(tf.cast(model(IMAGES), tf.float32) - exact) / np.linalg.norm(exact)
        for model in (folded, lambda images: half(images, training=False))
    ]
    assert off[0] <= 1.5 * off[1] < 10.0**-digits * 15


def test_weights_are_shared_not_copied(base):
    folded = folding.fold_batchnorm(base)
    before = folded(IMAGES).numpy()
    gamma = base.get_layer("block1_conv1_bn").gamma
    former = gamma.numpy()
    gamma.assign(former * 2)
    assert not np.allclose(folded(IMAGES), before)
    gamma.assign(former)


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Conv2D(4, 3, use_bias=True), keras.layers.BatchNormalization()],
        [keras.layers.Conv2D(4, 3, use_bias=False, activation="relu"),
         keras.layers.BatchNormalization()],
        [keras.layers.Conv2D(6, 3, use_bias=False, groups=3), keras.layers.BatchNormalization()],
        [keras.layers.Conv2D(6, 3, use_bias=False, dilation_rate=2),
         keras.layers.BatchNormalization()],
        [keras.layers.BatchNormalization(), keras.layers.Conv2D(6, 3, use_bias=False)],
    ],
    ids=["bias", "activation", "groups", "dilation", "order"],
)  # fmt: skip
def test_what_cannot_be_folded_stays(layers):
    image = keras.Input((16, 16, 3))
    output = image
    for layer in layers:
        output = layer(output)
    model = with_statistics(keras.Model(image, output))
    folded = folding.fold_batchnorm(model)
    assert folded_layers(folded) == []
    images = IMAGES[:, :16, :16]
    np.testing.assert_allclose(folded(images), model(images, training=False), atol=1e-6)


@pytest.mark.parametrize(("scale", "center", "strides"), [(False, True, 2), (True, False, 1)])
def test_batchnorm_without_scale_or_offset(scale, center, strides):
    image = keras.Input((16, 16, 3))
    convolved = keras.layers.Conv2D(5, 3, strides=strides, padding="same", use_bias=False)(image)
    output = keras.layers.BatchNormalization(scale=scale, center=center)(convolved)
    model = with_statistics(keras.Model(image, output))
    folded = folding.fold_batchnorm(model)
    assert len(folded_layers(folded)) == 1
    images = IMAGES[:, :16, :16]
    np.testing.assert_allclose(folded(images), model(images, training=False), atol=1e-5)
