import keras
import numpy as np
import pytest

from dftk.models import xception


@pytest.fixture(scope="module")
def head():
    return xception.head(xception.FEATURES, 0.3, 1e-4, seed=42, synchronized=False)


def test_head_is_the_notebooks(head):
    layers = [type(layer).__name__ for layer in head.layers]
    assert layers == [
        *("Dense", "BatchNormalization", "Dropout") * 2,
        "Dense",
    ]
    dense = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [256, 128, 1]
    assert [layer.activation.__name__ for layer in dense] == ["relu", "relu", "linear"]
    assert {layer.rate for layer in head.layers if isinstance(layer, keras.layers.Dropout)} == {0.3}


def test_l2_is_on_the_two_hidden_kernels(head):
    kernels = [layer.kernel for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    assert len(head.losses) == 2
    expected = sum(1e-4 * np.sum(np.square(kernel)) for kernel in kernels[:2])
    np.testing.assert_allclose(sum(map(float, head.losses)), expected, rtol=1e-5)


def test_base_has_154_trainable_weights_and_stride_32():
    base = xception.base(None)
    assert len(base.trainable_variables) == 154
    assert base(np.zeros((1, 96, 64, 3), np.float32)).shape == (1, 3, 2, xception.FEATURES)
