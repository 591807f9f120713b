import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import registry
from dftk.training.config import resolve


@pytest.fixture(scope="module")
def detector():
    return registry.build(resolve({"model": "cnn", "image_size": 64}), "float32", False)


def test_it_is_stages_of_convolution_and_pooling_then_flatten_and_dense(detector):
    kinds = [type(layer).__name__ for layer in detector.base.layers[1:]]
    assert kinds == ["Conv2D", "MaxPooling2D"] * 4
    assert {layer.activation.__name__ for layer in detector.base.layers[1::2]} == {"relu"}
    assert isinstance(detector.pool, keras.layers.Flatten)
    assert [type(layer).__name__ for layer in detector.head.layers] == ["Dense", "Dropout", "Dense"]
    assert detector.width == 64 // 16 * (64 // 16) * 128


def test_the_promised_input_gives_4_million_parameters():
    detector = registry.build(resolve({"model": "cnn"}), "float32", False)
    assert detector.model.count_params() == 4_435_393


def test_pixels_of_any_size_become_the_sigmoid_of_the_heads_logit(detector):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), np.uint8)
    logits = detector.head(detector.features(detector.unit_image(pixels), training=False))
    np.testing.assert_allclose(detector.model(pixels), tf.sigmoid(logits), rtol=1e-5)


def test_where_something_is_matters(detector):
    """Flatten keeps places; a global average would not tell an image from its mirror."""
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    pixels[:, :16, :16] = 255
    both = detector.model(np.concatenate([pixels, pixels[:, ::-1, ::-1]])).numpy()
    assert abs(both[0] - both[1]) > 1e-4


def test_a_saved_one_loads_with_keras_alone(detector, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), np.uint8)
    detector.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded(pixels), detector.model(pixels))


def test_weights_of_a_file_are_taken(detector, tmp_path):
    detector.base.save_weights(tmp_path / "w.weights.h5")
    config = resolve(
        {"model": "cnn", "image_size": 64, "seed": 1, "weights": str(tmp_path / "w.weights.h5")}
    )
    other = registry.build(config, "float32", False)
    for a, b in zip(other.base.get_weights(), detector.base.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.long
def test_a_run_of_it_ends_with_a_model_and_a_report(data_dir, tmp_path):
    from dftk.launch import run
    from dftk.runs.workdir import Workdir

    workdir = Workdir(tmp_path / "run")
    given = {"dataset": "sample", "data_dir": data_dir, "model": "cnn"}
    summary = run.train(resolve(given), [1], workdir)
    assert summary["pooled"]["auc"] > 0.9
    assert (workdir.path / "report.html").is_file()
    assert {row["phase"] for row in workdir.history()} == {"finetune"}
