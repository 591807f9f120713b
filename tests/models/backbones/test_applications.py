"""Every architecture: its range, its levels, what each phase trains; a saved file loads."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_rig import Rig

from dftk.models import registry
from dftk.models.backbones import applications
from dftk.models.backbones.catalog import ARCHITECTURES
from dftk.training.config import resolve

NETWORKS = [name for name, entry in ARCHITECTURES.items() if entry.module == "applications"]
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 80, 64, 3), np.uint8)
PREPROCESSING = {
    "xception": keras.applications.xception,
    "mobilenetv2": keras.applications.mobilenet_v2,
    "resnet50v2": keras.applications.resnet_v2,
}
LEVELS = {"xception": 13, "mobilenetv2": 11, "resnet50v2": 17, "efficientnetv2b0": 16,
        "convnext_tiny": 19}  # fmt: skip


def build(name, **given):
    given = {"model": name, "weights": "none", "image_size": 64, **given}
    return registry.build(resolve(given), "float32", False)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_base_is_fed_what_its_weights_were_trained_on(name):
    scaling = registry.SCALINGS[resolve({"model": name}).model.scaling]
    assert scaling == registry.SCALINGS[resolve({"model": f"{name}_multilevel"}).model.scaling]
    image = PIXELS[0].astype(np.float32)
    found = keras.layers.Rescaling(*scaling)(image / 255)
    if name in PREPROCESSING:
        expected = PREPROCESSING[name].preprocess_input(image.copy())
    else:  # their preprocess_input does nothing: it is a part of the network, left out here
        expected = keras.applications.imagenet_utils.preprocess_input(image.copy(), mode="torch")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_xception_has_154_trainable_weights_and_stride_32():
    network = applications.network("Xception")(None)
    assert len(network.trainable_variables) == 154
    assert network(np.zeros((1, 96, 64, 3), np.float32)).shape == (1, 3, 2, 2048)


@pytest.mark.long  # half a minute each
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "xception"])
def test_one_step_of_each_phase_trains_what_it_should(name, examples, tmp_path):
    rig = Rig(examples, model=f"{name}_multilevel", frozen_features="live", weights="none",
              image_size=64, base_batchnorm="update")  # fmt: skip
    base, head = rig.detector.base, rig.detector.head
    assert len(base.outputs) == LEVELS[name]
    for phase, train_base in (("frozen", False), ("finetune", True)):
        before = rig.weights(base.trainable_variables), rig.weights(head.trainable_variables)
        rig.train(phase, calls=(1,), rate=1e-2)
        after = rig.weights(base.trainable_variables), rig.weights(head.trainable_variables)
        moved = [np.any(a != b) for a, b in zip(before[0], after[0])]
        assert all(moved) if train_base else not any(moved), phase
        assert all(np.any(a != b) for a, b in zip(before[1], after[1])), phase

    rig.detector.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    expected = rig.detector.model(PIXELS, training=False)
    np.testing.assert_allclose(loaded(PIXELS, training=False), expected, rtol=1e-4, atol=1e-6)
    unit = rig.detector.unit_image(PIXELS)
    probability = tf.sigmoid(head(rig.detector.features(unit, training=False), training=False))
    np.testing.assert_allclose(probability, expected, rtol=1e-2, atol=1e-3)


def test_real_weights_of_mobilenet_are_taken(shared):
    path = shared / "weights" / "mobilenetv2_notop_imagenet.weights.h5"
    detector = build("mobilenetv2_multilevel", weights=str(path))
    kernel = detector.base.get_layer("Conv1").kernel.numpy()
    reference = keras.applications.MobileNetV2(
        include_top=False, weights=str(path), input_shape=(224, 224, 3)
    )
    np.testing.assert_array_equal(kernel, reference.get_layer("Conv1").kernel.numpy())
