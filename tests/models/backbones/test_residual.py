"""The network on differences: what it sees, what it does not, and that it learns."""

import keras
import numpy as np
import pytest

from dftk.models import registry
from dftk.models.backbones import residual
from dftk.training.config import resolve

IMAGES = np.random.default_rng(0).integers(90, 110, (2, 80, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def detector():
    config = resolve({"model": "residual", "image_size": 64, "crop_size": 0})
    built = registry.build(config, "float32", False)
    kernel = built.head.get_layer("logit").kernel  # of zeros, as training begins
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return built


def test_the_first_layers_are_each_pixel_less_its_neighbours_cut_off(detector):
    first = keras.Model(detector.base.inputs[0], detector.base.get_layer("cut").output)
    found = first(IMAGES / np.float32(127.5) - 1).numpy()
    image = IMAGES.astype(np.float32)
    here = image[:, :-1, :-1]
    others = image[:, :-1, 1:], image[:, 1:, :-1], image[:, 1:, 1:]
    for sort, other in enumerate(others):
        expected = np.clip((here - other) / residual.CUT, -1, 1)
        np.testing.assert_allclose(found[..., sort::3], expected, atol=1e-4)
    assert 0.1 < (np.abs(found) == 1).mean() < 0.9


def test_the_first_layer_never_trains(detector):
    assert not detector.base.get_layer("differences").trainable_variables
    assert len(detector.base.trainable_variables) == len(detector.base.weights) - 1 - 20


def test_brightness_tells_it_nothing(detector):
    dark, bright = IMAGES // 2, IMAGES // 2 + 60
    logits = [
        detector.head(detector.features(detector.unit_image(images), training=False)).numpy()
        for images in (dark, bright, IMAGES)
    ]
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-3)
    assert np.abs(logits[2] - logits[0]).max() > 1


def test_images_of_any_size(detector):
    last = detector.base(np.zeros((1, 129, 257, 3), np.float32))[-1]
    assert last.shape == (1, 8, 16, 128)
    assert detector.width == sum(residual.FILTERS) + residual.FILTERS[-1]


def test_a_saved_one_loads_with_keras_alone(detector, tmp_path):
    detector.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded(IMAGES), detector.model(IMAGES))


@pytest.mark.long
def test_a_run_of_it_learns_the_sample(data_dir, tmp_path):
    from dftk.launch import run
    from dftk.runs.workdir import Workdir

    given = {"dataset": "sample", "data_dir": data_dir, "model": "residual"}
    summary = run.train(resolve(given), [1], Workdir(tmp_path / "run"))
    assert summary["pooled"]["auc"] > 0.9
