import keras
import numpy as np
import pytest

from dftk.models.heads import trained as heads


@pytest.fixture(scope="module")
def dense():
    return heads.dense(2048, 0.3, 1e-4, seed=42, synchronized=False)


def test_the_dense_head_is_the_notebooks(dense):
    layers = [type(layer).__name__ for layer in dense.layers]
    assert layers == [
        *("Dense", "BatchNormalization", "Dropout") * 2,
        "Dense",
    ]
    units = [layer for layer in dense.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in units] == [256, 128, 1]
    assert [layer.activation.__name__ for layer in units] == ["relu", "relu", "linear"]
    assert {layer.rate for layer in dense.layers if isinstance(layer, keras.layers.Dropout)} == {
        0.3
    }


def test_l2_is_on_the_two_hidden_kernels(dense):
    kernels = [layer.kernel for layer in dense.layers if isinstance(layer, keras.layers.Dense)]
    assert len(dense.losses) == 2
    expected = sum(1e-4 * np.sum(np.square(kernel)) for kernel in kernels[:2])
    np.testing.assert_allclose(sum(map(float, dense.losses)), expected, rtol=1e-5)


def test_the_linear_head_is_logistic_regression_on_standardised_features():
    head = heads.linear(5, 0.0, 0.5, seed=0, synchronized=False)
    mean, variance, kernel, bias = (
        np.random.default_rng(i).random(shape, np.float32) + 0.5
        for i, shape in enumerate([(5,), (5,), (5, 1), (1,)])
    )
    assert not head(np.ones((2, 5), np.float32)).numpy().any(), "nothing known, nothing said"
    head.get_layer("logit").set_weights([kernel, bias])
    head.get_layer("standardise").set_weights([mean, variance])
    features = np.random.default_rng(9).normal(size=(7, 5)).astype(np.float32)
    expected = (features - mean) / np.sqrt(variance + 1e-3) @ kernel + bias
    np.testing.assert_allclose(head(features, training=False), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(float(head.losses[0]), 0.5 * np.sum(kernel**2), rtol=1e-5)
    assert len(head.trainable_variables) == 2


FEATURES = np.random.default_rng(3).normal(5, 3, (200, 2048)).astype(np.float32)


@pytest.mark.parametrize("kind", ["dense", "linear"])
def test_measured_on_features_batchnorm_normalises_these(kind):
    head = heads.HEADS[kind](2048, 0.3, 1e-4, seed=1, synchronized=False)
    trained = [variable.numpy() for variable in head.trainable_variables]
    heads.measure_batchnorm(head, FEATURES)
    seen, normalised = FEATURES, 0
    for layer in head.layers:
        before, seen = np.asarray(seen), layer(seen, training=False)
        if isinstance(layer, keras.layers.BatchNormalization):
            normalised += 1
            expected = (before - before.mean(axis=0)) / np.sqrt(before.var(axis=0) + 1e-3)
            np.testing.assert_allclose(seen, expected, rtol=1e-3, atol=1e-3)
    assert normalised == {"dense": 2, "linear": 1}[kind]
    for before, now in zip(trained, head.trainable_variables):
        np.testing.assert_array_equal(before, now)


def test_what_is_measured_is_what_training_on_them_would_average():
    """Keras's own moving statistics, with a momentum of 0 and all features as one batch."""
    ours, theirs = (heads.linear(2048, 0.0, 0.0, seed=1, synchronized=False) for _ in range(2))
    heads.measure_batchnorm(ours, FEATURES)
    theirs.get_layer("standardise").momentum = 0.0
    theirs(FEATURES, training=True)
    for mine, keras_own in zip(ours.variables, theirs.variables):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-4)
