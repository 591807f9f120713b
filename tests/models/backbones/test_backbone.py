import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import registry
from dftk.models.backbones import applications
from dftk.models.backbones.backbone import Backbone, depths, residual_sums
from dftk.training.config import resolve

network = applications.network("Xception")

IMAGES = np.random.default_rng(0).random((2, 64, 64, 3), np.float32) * 2 - 1


def assert_close(found, expected):
    """Beside the largest: with random weights activations all but vanish with depth."""
    size = np.abs(expected).max()
    assert size > 0
    np.testing.assert_allclose(found / size, expected / size, atol=1e-3)


@pytest.fixture(scope="module")
def detector():
    given = {"model": "xception_multilevel", "weights": "none", "image_size": 64}
    return registry.build(resolve(given), "float32", False)


def test_xception_is_tapped_at_twelve_sums_and_its_end(detector):
    assert [tensor.shape[-1] for tensor in detector.base.outputs] == [
        *(128, 256, *[728] * 9, 1024),
        2048,
    ]
    assert detector.width == 10_008


def test_the_head_sees_the_means_of_the_plain_networks_own_activations(detector):
    """Weights are for the plain network; the levels are of its layers, none is copied."""
    plain = network(None)
    plain.set_weights(detector.base.get_weights())
    last = plain(IMAGES, training=False).numpy()
    sums = residual_sums(plain)
    first = keras.Model(plain.input, sums[0])(IMAGES, training=False).numpy()
    vector = detector.pool(detector.base(IMAGES, training=False)).numpy()
    assert_close(vector[:, :128], first.mean((1, 2)))
    assert_close(vector[:, -2048:], last.mean((1, 2)))


def test_the_folded_base_gives_the_same(detector):
    for a, b in zip(detector.base(IMAGES, training=False), detector.base_at_inference(IMAGES)):
        assert_close(a.numpy(), b.numpy())


def test_pooled_in_float32_of_half_precision_activations():
    given = {"model": "xception_multilevel", "weights": "none", "image_size": 64}
    detector = registry.build(resolve(given), "mixed_bfloat16", False)
    activations = detector.base(IMAGES, training=False)
    assert {tensor.dtype for tensor in activations} == {tf.bfloat16}
    vector = detector.pool(activations)
    assert vector.dtype == tf.float32
    exact = tf.reduce_mean(tf.cast(activations[4], tf.float32), [1, 2])
    start = sum(tensor.shape[-1] for tensor in activations[:4])
    assert_close(vector.numpy()[:, start : start + 728], exact.numpy())


def test_one_activation_needs_no_joining():
    backbone = Backbone(network)
    base = backbone.base(network(None))
    assert isinstance(backbone.pooling_of(base), keras.layers.GlobalAveragePooling2D)


def test_a_layer_belongs_to_the_block_of_the_sums_before_it():
    depth = depths(network(None))
    blocks = {"block1_conv1": 0, "block2_sepconv1": 0, "block3_sepconv1": 1,
              "block4_sepconv2": 2, "block13_sepconv1": 11, "block14_sepconv1": 12,
              "block14_sepconv2_bn": 12}  # fmt: skip
    assert {name: depth[name] for name in blocks} == blocks
