import keras
import numpy as np
import pytest

from dftk.exports.float32_copy import dtype_policies, float32_copy
from dftk.models import registry
from dftk.training.config import resolve


def build(policy, model="cnn"):
    config = resolve({"dataset": "sample", "model": model, "image_size": 32, "weights": "none"})
    return registry.build(config, policy, False).model


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_copy_is_the_float32_model_with_the_same_weights(policy):
    mixed, float32 = build(policy), build("float32")
    float32.set_weights(mixed.get_weights())
    before = [weight.copy() for weight in mixed.get_weights()]
    copy = float32_copy(mixed)
    assert policy in dtype_policies(mixed), "the model itself stays as it is"
    assert dtype_policies(copy) == {"float32"}
    images = np.random.default_rng(0).integers(0, 256, (2, 50, 41, 3), np.uint8)
    np.testing.assert_array_equal(copy(images, training=False), float32(images, training=False))
    assert np.abs(copy(images, training=False) - mixed(images, training=False)).max() > 1e-5
    for weight, former in zip(mixed.get_weights(), before):
        np.testing.assert_array_equal(weight, former)


def test_a_float32_model_is_its_own_copy():
    model = build("float32")
    assert float32_copy(model) is model


@pytest.mark.slow
def test_every_layer_of_the_large_network_too():
    copy = float32_copy(build("mixed_bfloat16", "xception"))
    assert dtype_policies(copy) == {"float32"}
    assert all(weight.dtype == "float32" for weight in copy.weights)
    assert isinstance(copy, keras.Model)
