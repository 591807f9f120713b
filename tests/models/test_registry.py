import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.models import registry
from dftk.training.config import resolve
from dftk.utils.errors import UsageError, UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 48, 40, 3), np.uint8)


def build(policy="float32", **given):
    return registry.build(resolve({"weights": "none", "image_size": 32, **given}), policy, False)


SMALL = {"model": "residual", "head": "dense", "crop_size": 0, "head_batchnorm": "moving"}


@pytest.fixture(scope="module")
def detector():
    return build()


def test_probability_is_the_sigmoid_of_the_logits_of_the_parts(detector):
    unit = detector.unit_image(PIXELS)
    logits = detector.head(detector.features(unit, training=False), training=False)
    assert logits.dtype == tf.float32
    probability = detector.model(PIXELS)
    assert probability.shape == (2, 1)
    np.testing.assert_allclose(probability, tf.sigmoid(logits), rtol=1e-6)


def test_calling_the_model_without_training_is_inference(detector):
    """keras.layers.Resizing inside it would switch every layer behind it to training."""
    before = [v.numpy() for v in detector.model.variables]
    np.testing.assert_array_equal(detector.model(PIXELS), detector.model(PIXELS, training=False))
    assert all((v.numpy() == b).all() for v, b in zip(detector.model.variables, before))


def test_head_has_10_trainable_weights_and_everything_164(detector):
    assert len(detector.head.trainable_variables) == 10
    assert len(detector.head.trainable_variables + detector.base.trainable_variables) == 164


@pytest.mark.parametrize(("scaling", "low"), [("symmetric", -1.0), ("unit", 0.0)])
def test_the_base_is_fed_the_range_it_expects(scaling, low):
    detector = build(model="cnn", scaling=scaling)
    pixels = np.stack([np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)])
    scaled = detector.scale(detector.unit_image(pixels)).numpy()
    np.testing.assert_allclose(scaled[0], low, atol=1e-6)
    np.testing.assert_allclose(scaled[1], 1.0, atol=1e-6)


def test_batchnorm_of_the_base_obeys_the_training_argument(detector):
    """Keras 3 lets an outer call's training=True override the inner one; features() must not."""
    statistics = [v for v in detector.base.non_trainable_variables if "moving" in v.path]
    before = [v.numpy() for v in statistics]
    unit = detector.unit_image(PIXELS)
    first = detector.features(unit, training=False)
    np.testing.assert_array_equal(first, detector.features(unit, training=False))
    assert all((v.numpy() == b).all() for v, b in zip(statistics, before))
    assert not np.allclose(first, detector.features(unit, training=True))
    assert any((v.numpy() != b).any() for v, b in zip(statistics, before))


def test_one_seed_gives_the_same_weights_another_gives_others():
    first, again, other = (build(**SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first.model.get_weights(), other.model.get_weights()))


def test_a_mixed_policy_stays_inside_the_base():
    detector = build("mixed_bfloat16", **SMALL)
    assert keras.config.dtype_policy().name == "float32"
    assert detector.base.layers[-1].compute_dtype == "bfloat16"
    assert {layer.compute_dtype for layer in detector.head.layers} == {"float32"}
    assert detector.scale.compute_dtype == "float32"
    assert detector.model(PIXELS).dtype == tf.float32


def test_dropout_is_a_function_of_its_key(detector):
    features = np.random.default_rng(1).random((8, 2048), np.float32)

    def masked(key):
        detector.reset_dropout(key)
        return detector.head(features, training=True).numpy()

    np.testing.assert_array_equal(masked((42, 0, 3)), masked((42, 0, 3)))
    assert (masked((42, 0, 3)) != masked((42, 1, 3))).any()


def test_stochastic_depth_of_a_base_is_a_function_of_its_key():
    config = resolve({"model": "efficientnetv2b0", "weights": "none", "image_size": 32})
    detector = registry.build(config, "float32", False)
    unit = np.random.default_rng(1).random((2, 32, 32, 3), np.float32)

    def features(key):
        detector.reset_dropout(key)
        return detector.features(unit, training=True).numpy()

    np.testing.assert_array_equal(features((42, 0, 3)), features((42, 0, 3)))
    assert (features((42, 0, 3)) != features((42, 1, 3))).any()


def test_a_saved_detector_loads_with_keras_alone(detector, tmp_path):
    """Built-in layers only: nothing of dftk is needed to use the file."""
    detector.model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", PIXELS)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model('model.keras', safe_mode=True)\n"
        "np.save('out.npy', model(np.load('pixels.npy')))\n"
        "assert not any(name.startswith('dftk') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), detector.model(PIXELS), rtol=1e-5)


def test_missing_weights_are_named_with_a_remedy(tmp_path):
    with pytest.raises(
        UserError, match=r"--weights=.*nowhere.h5: no such file; give .*--weights=none"
    ):
        build(weights=str(tmp_path / "nowhere.h5"))


def test_a_file_that_is_not_weights_is_named(tmp_path):
    path = tmp_path / "some.weights.h5"
    path.write_bytes(b"not an archive")
    with pytest.raises(UserError, match=r"some.weights.h5: not the weights of xception"):
        build(weights=str(path))


def test_weights_of_another_network_are_refused(shared):
    path = str(shared / "weights" / "mobilenetv2_notop_imagenet.weights.h5")
    with pytest.raises(UserError, match="not the weights of xception without its top"):
        build(weights=path)


def test_weights_that_lack_a_layer_are_refused(detector, tmp_path):
    """Keras warns and leaves the layer as it is: random."""
    import h5py

    path = tmp_path / "partial.weights.h5"
    detector.base.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/separable_conv2d_5"]
    with pytest.raises(UserError, match="not the weights of xception without its top"):
        build(weights=str(path))


def test_imagenet_without_a_network_says_what_to_do(tmp_path):
    """In a process of its own: Keras's cache must be empty, and the download must fail."""
    code = (
        "from dftk.training.config import resolve\nfrom dftk.utils.errors import UserError\n"
        "from dftk.models import registry\n"
        "try:\n"
        "    registry.build(resolve({'image_size': 32}), 'float32', False)\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    environment = {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "PATH": ""}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("--weights=imagenet: ")
    assert answer.stdout.rstrip().endswith("--weights=none")
    assert answer.stdout.count("\n") == 1


def test_partial_imagenet_weights_load(shared, detector):
    path = str(shared / "weights" / "xception_notop_imagenet_blocks1to13.weights.h5")
    loaded = build(weights=path)
    assert not np.allclose(loaded.base.get_weights()[0], detector.base.get_weights()[0])


def test_more_frozen_blocks_than_the_base_has_is_a_wrong_flag():
    config = resolve({"model": "cnn", "image_size": 32, "freeze_blocks": 99})
    with pytest.raises(UsageError, match="cnn has 1 block, and .*; give 0"):
        registry.build(config, "float32", False)
