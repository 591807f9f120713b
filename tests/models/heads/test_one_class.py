"""Heads of Keras layers give scikit-learn's own scores."""

import keras
import numpy as np
import pytest
from sklearn.ensemble._iforest import _average_path_length

from dftk.models.heads import one_class

COMPONENTS, WIDTH = 12, 40


@pytest.fixture(autouse=True)
def few_components(monkeypatch):
    monkeypatch.setattr(one_class, "COMPONENTS", COMPONENTS)
    monkeypatch.setattr(one_class, "_TREES", 10)


def features(count, seed, spread=1.0):
    """Correlated, far from zero, of all scales; the first feature never changes."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, WIDTH)) @ np.random.default_rng(0).normal(size=(WIDTH,) * 2)
    found = (spread * mixed * np.geomspace(0.01, 10, WIDTH) + 7).astype(np.float32)
    found[:, 0] = 3
    return found


def fitted(kind, real):
    estimator, head = one_class.KINDS[kind](), one_class.head(kind, WIDTH)
    one_class.assign(head, estimator.fit(real, seed=1))
    return estimator, head, keras.Model(head.input, head.get_layer("score").output)


@pytest.mark.parametrize("kind", one_class.KINDS)
@pytest.mark.parametrize("count", [300, 8])  # 8 images have fewer components than there is room
def test_layers_score_as_scikit_learn_does(kind, count):
    estimator, _, score = fitted(kind, features(count, 2))
    for new in (features(50, 3), features(50, 4, spread=3.0)):
        found, expected = score(new).numpy()[:, 0], estimator.score(new)
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("kind", one_class.KINDS)
def test_what_lies_farther_scores_higher(kind):
    _, _, score = fitted(kind, features(300, 2))
    near, far = (score(features(100, 5, spread)).numpy().mean() for spread in (0.5, 3.0))
    assert near < far


@pytest.mark.parametrize("kind", one_class.KINDS)
def test_nothing_is_left_of_the_fold_before(kind):
    estimator, head, score = fitted(kind, features(300, 2))
    before = score(features(20, 3)).numpy()
    one_class.assign(head, one_class.KINDS[kind]().fit(features(8, 9), seed=1))
    assert not np.allclose(score(features(20, 3)), before)
    one_class.assign(head, estimator.fit(features(300, 2), seed=1))
    np.testing.assert_array_equal(score(features(20, 3)), before)


@pytest.mark.parametrize("kind", one_class.KINDS)
def test_a_head_loads_with_keras_alone(kind, tmp_path):
    _, head, _ = fitted(kind, features(300, 2))
    assert not head.trainable_variables
    head.save(tmp_path / "head.keras")
    again = keras.saving.load_model(tmp_path / "head.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(again(features(9, 3)), head(features(9, 3)))


def test_a_split_decides_in_float32_as_in_float64():
    """scikit-learn asks whether a float32 exceeds a float64."""
    for threshold in np.random.default_rng(0).normal(size=200):
        nearest = np.float32(threshold)
        for value in (nearest, *np.nextafter(nearest, np.float32([-9, 9]))):
            assert (value > one_class._below(threshold)) == (float(value) > threshold)


def test_expected_paths_are_scikit_learns():
    counts = [1, 2, 3, 10, 256]
    found = [one_class.expected_path(count) for count in counts]
    np.testing.assert_allclose(found, _average_path_length(counts))
