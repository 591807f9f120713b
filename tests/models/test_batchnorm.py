"""Twins of networks: BatchNorm folded or fused computes what Keras's does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import batchnorm, registry
from dftk.models.backbones import applications, residual

RNG = np.random.default_rng(0)
IMAGES = tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32))
X = tf.constant(RNG.normal(1, 3, (8, 6, 5, 16)), tf.float32)
WEIGHTS = tf.constant(RNG.normal(size=X.shape), tf.float32)


def by_kernel(one):
    """A function that computes what the layer does by the twin of a network of this layer."""
    image = keras.Input(X.shape[1:], dtype=one.compute_dtype)
    network = keras.Model(image, one(image))
    twin = batchnorm.fuse_batchnorm(network)
    assert [type(layer) for layer in twin.layers[1:]] == [batchnorm.FusedBatchNorm]
    return twin


def layer(policy="float32"):
    one = keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.9, dtype=policy)
    one.build(X.shape)
    rng = np.random.default_rng(1)
    for weight in one.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return one


def trained(one, x=X, call=None):
    """Output, gradients of input, gamma and beta, and the moving statistics after one call."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = (call or one)(x, training=True)
        total = tf.reduce_sum(tf.cast(output, tf.float32) * WEIGHTS)
    gradients = tape.gradient(total, [x, *(weight.value for weight in one.trainable_variables)])
    return [output, *gradients, one.moving_mean.value, one.moving_variance.value]


def test_it_is_keras_s_but_for_rounding():
    fused = layer()
    twin = by_kernel(fused)
    found, expected = trained(fused, call=twin), trained(layer())
    assert len(found) == 6
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(twin(X, training=False), layer_like(fused)(X, training=False))


def layer_like(other):
    one = layer()
    one.set_weights(other.get_weights())
    return one


@pytest.mark.parametrize(
    ("policy", "rounding"), [("mixed_bfloat16", 2**-7), ("mixed_float16", 2**-9)]
)
def test_in_half_precision_statistics_and_weights_stay_float32(policy, rounding):
    fused = layer(policy)
    half = tf.cast(X, fused.compute_dtype)
    found, expected = (
        trained(fused, half, by_kernel(fused)),
        trained(layer(), tf.cast(half, tf.float32)),
    )
    assert found[0].dtype == half.dtype
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(
            tf.cast(ours, tf.float32), theirs, rtol=2 * rounding, atol=20 * rounding
        )
    for ours, theirs in zip(found[4:], expected[4:]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_a_layer_that_does_not_train_applies_what_it_stored():
    fused = layer()
    twin = by_kernel(fused)
    fused.trainable = False
    before = fused.get_weights()
    np.testing.assert_array_equal(twin(X, training=True), fused(X, training=False))
    for ours, theirs in zip(fused.get_weights(), before):
        np.testing.assert_array_equal(ours, theirs)


def test_what_the_kernel_cannot_compute_stays_and_the_order_of_layers_too():
    """Gradients are summed in the order of the graph: it decides their last bits."""
    image = keras.Input((8, 8, 3))
    plain = keras.layers.BatchNormalization(name="plain")(image)
    unscaled = keras.layers.BatchNormalization(scale=False, name="unscaled")(image)
    both = keras.layers.Add(name="both")([unscaled, plain])
    vector = keras.layers.GlobalAveragePooling2D(name="pool")(both)
    flat = keras.layers.BatchNormalization(name="flat")(vector)
    twin = batchnorm.fuse_batchnorm(network := keras.Model(image, [both, flat]))
    names = [layer.name.replace("plain_fused", "plain") for layer in twin.operations[1:]]
    assert names == [layer.name for layer in network.operations[1:]]
    assert sum(isinstance(layer, batchnorm.FusedBatchNorm) for layer in twin.layers) == 1


def test_a_network_without_batchnorm_is_its_own_twin():
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    assert batchnorm.fuse_batchnorm(network) is network
    assert batchnorm.fold_batchnorm(network) is network


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
    return [layer for layer in model.layers if isinstance(layer, batchnorm.FoldedConvolution)]


def test_all_forty_of_xception_are_folded_and_nothing_changes(base):
    folded = batchnorm.fold_batchnorm(base)
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

    ours, theirs = gradients(batchnorm.fold_batchnorm(base)), gradients(base)
    assert len(ours) == 154
    for a, b in zip(ours, theirs):
        assert np.linalg.norm(a - b) <= 1e-2 * np.linalg.norm(b), "rounding, at kinks of ReLU"


@pytest.mark.parametrize(("policy", "digits"), [("mixed_bfloat16", 2), ("mixed_float16", 3)])
def test_in_half_precision_the_original_is_no_closer_to_float32(policy, digits):
    """Scale and kernel are multiplied in float32, and rounded once."""
    base = with_statistics(residual.network(None))
    with registry.dtype_policy(policy):
        half = residual.network(None)
    half.set_weights(base.get_weights())
    folded = batchnorm.fold_batchnorm(half)
    assert folded(IMAGES).dtype == policy.split("_")[1]
    exact = base(IMAGES, training=False).numpy()
    off = [
        np.linalg.norm(tf.cast(model(IMAGES), tf.float32) - exact) / np.linalg.norm(exact)
        for model in (folded, lambda images: half(images, training=False))
    ]
    assert off[0] <= 1.5 * off[1] < 10.0**-digits * 15


def test_weights_are_shared_not_copied(base):
    folded = batchnorm.fold_batchnorm(base)
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
    folded = batchnorm.fold_batchnorm(model)
    assert folded_layers(folded) == []
    images = IMAGES[:, :16, :16]
    np.testing.assert_allclose(folded(images), model(images, training=False), atol=1e-6)


@pytest.mark.parametrize(("scale", "center", "strides"), [(False, True, 2), (True, False, 1)])
def test_batchnorm_without_scale_or_offset(scale, center, strides):
    image = keras.Input((16, 16, 3))
    convolved = keras.layers.Conv2D(5, 3, strides=strides, padding="same", use_bias=False)(image)
    output = keras.layers.BatchNormalization(scale=scale, center=center)(convolved)
    model = with_statistics(keras.Model(image, output))
    folded = batchnorm.fold_batchnorm(model)
    assert len(folded_layers(folded)) == 1
    images = IMAGES[:, :16, :16]
    np.testing.assert_allclose(folded(images), model(images, training=False), atol=1e-5)
