"""The transformer: KerasHub's own numbers, in Keras's own layers."""

import importlib.util
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from commands import run_command
from training_rig import Rig

from dftk.inference import gradcam
from dftk.models import registry
from dftk.models.backbones import vit
from dftk.training.config import resolve
from dftk.utils.errors import UsageError, UserError

MISSING = importlib.util.find_spec("keras_hub") is None
needs_kerashub = pytest.mark.skipif(MISSING, reason="KerasHub is not installed: '.[vit]'")
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 80, 64, 3), np.uint8)
GIVEN = {"model": "vit", "weights": "none", "image_size": 32}


def build(**given):
    return registry.build(resolve({**GIVEN, **given}), "float32", False)


@pytest.fixture
def small(monkeypatch):
    """Two blocks instead of twelve."""
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "intermediate_dim": 64}
    monkeypatch.setattr(vit, "SIZES", {"patch_size": 16, **sizes})


def scattered(network):
    """Random weights of which none is zero: tokens begin at that, and so do biases."""
    draw = np.random.default_rng(1).normal
    network.set_weights([w + draw(0, 0.1, w.shape) for w in network.get_weights()])
    return network


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 40}, "--image_size=40 --model=vit: must be a multiple of 16"),
        ({"weights": "imagenet"}, "--image_size=32 --model=vit: its ImageNet weights are for 224"),
        ({"image_size": 64, "crop_size": 32}, "--crop_size=32 --model=vit: it takes"),
        (
            {"model": "vit_multilevel", "image_size": 64, "crop_size": 32},
            "model=vit_multilevel: it",
        ),
    ],
)
def test_a_size_that_it_cannot_take_is_named(given, message):
    with pytest.raises(UsageError, match=message):
        resolve({**GIVEN, **given})


def test_a_crop_of_the_whole_image_is_none():
    assert resolve({**GIVEN, "crop_size": 32}).augment.crop_size == 32


@pytest.mark.skipif(not MISSING, reason="KerasHub is installed")
def test_the_missing_package_is_one_line_before_anything_else(tmp_path):
    answer = run_command(
        "train", "--dataset=sample", "--model=vit",
        f"--data_dir={tmp_path}/d", f"--workdir={tmp_path}/run",
    )  # fmt: skip
    assert answer.returncode == 1
    assert "error: --model=vit and vit_multilevel need KerasHub" in answer.stderr
    assert "pip install -e '.[vit]'" in answer.stderr
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="need KerasHub"):
        build()


@needs_kerashub
def test_its_last_map_is_kerashubs_tokens_of_the_image():
    """Also where there are more patches from top to bottom than from left to right."""
    from keras_hub.models import DeiTBackbone

    sizes = {**vit.SIZES, "num_layers": 2, "num_heads": 2, "hidden_dim": 32}
    network = scattered(DeiTBackbone(image_shape=(64, 32, 3), **sizes))
    images = np.random.default_rng(2).normal(size=(3, 64, 32, 3)).astype(np.float32)
    expected = network(images).numpy()[:, 2:].reshape(3, 4, 2, 32)
    (last,) = vit.last_map(network)
    found = keras.Model(network.input, last)(images).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


@needs_kerashub
@pytest.mark.usefixtures("small")
def test_every_block_is_tapped():
    network = scattered(vit.network(None, 32))
    model = keras.Model(network.input, vit.block_maps(network))
    images = np.random.default_rng(2).normal(size=(3, 32, 32, 3)).astype(np.float32)
    embedding, encoder = network.layers[1:]
    tokens, _ = encoder.encoder_layers[0](embedding(images))
    maps = model(images)
    assert len(maps) == 3
    np.testing.assert_allclose(maps[0].numpy().reshape(3, 4, 32), tokens[:, 2:], atol=1e-4)


@needs_kerashub
def test_the_network_is_what_the_preset_is_of():
    from keras_hub.models import DeiTBackbone

    expected = DeiTBackbone.presets[vit.PRESET]["metadata"]["params"]
    assert vit.network(None, 224).count_params() == expected


@needs_kerashub
@pytest.mark.usefixtures("small")
def test_the_head_sees_the_mean_of_its_map():
    detector = build()
    unit = detector.unit_image(PIXELS)
    tokens = detector.base(detector.scale(unit), training=False)
    vector = detector.features(unit, training=False)
    np.testing.assert_allclose(vector, tokens.numpy().mean((1, 2)), atol=1e-5)


@needs_kerashub
@pytest.mark.usefixtures("small")
def test_a_file_of_kerashub_is_taken_and_one_for_another_size_is_not(tmp_path):
    path = tmp_path / "model.weights.h5"
    network = scattered(vit.network(None, 32))
    network.save_weights(path)
    detector = build(weights=str(path))
    unit = detector.scale(detector.unit_image(PIXELS))
    expected = network(unit).numpy()[:, 2:].reshape(2, 2, 2, 32)
    np.testing.assert_allclose(detector.base(unit), expected, atol=1e-4)
    with pytest.raises(UserError, match="not the weights of vit without its top"):
        build(weights=str(path), image_size=64)


@needs_kerashub
@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_saved_one_loads_with_keras_alone(tmp_path):
    detector = build(model="vit_multilevel")
    model, kernel = detector.model, detector.head.get_layer("logit").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))  # it begins with zeros
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", PIXELS)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model('model.keras', safe_mode=True)\n"
        "np.save('out.npy', model(np.load('pixels.npy')))\n"
        "assert not {'dftk', 'keras_hub'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model(PIXELS), rtol=1e-5)


@needs_kerashub
@pytest.mark.usefixtures("small")
def test_half_precision_is_near():
    outputs = []
    for policy in ("float32", "mixed_bfloat16"):
        detector = registry.build(resolve({**GIVEN, "head": "hidden"}), policy, False)
        outputs.append(detector.model(PIXELS, training=False).numpy())
    assert detector.base(detector.unit_image(PIXELS)).dtype == tf.bfloat16
    np.testing.assert_allclose(*outputs, atol=0.02)


@needs_kerashub
@pytest.mark.parametrize("name", ["vit", "vit_multilevel"])
@pytest.mark.usefixtures("small")
def test_gradcam_is_the_map_of_the_tokens(name):
    """Behind a mean and a linear head it is the logit, place by place."""
    detector = build(model=name, head="linear")
    kernel = detector.head.get_layer("logit").kernel
    kernel.assign(np.random.default_rng(3).normal(size=kernel.shape))
    square = PIXELS[:, :64]
    maps, _ = gradcam.heatmaps(detector.model, square)
    tokens = detector.base(detector.scale(detector.unit_image(square)), training=False)
    joined = tf.concat(tokens, -1) if isinstance(tokens, list) else tokens
    norm = detector.head.get_layer("standardise")
    speaks = (joined.numpy() @ kernel.numpy())[..., 0] / np.sqrt(1 + norm.epsilon)
    by_hand = np.maximum(tf.image.resize(speaks[..., None], (64, 64))[..., 0], 0)
    by_hand = tf.math.divide_no_nan(by_hand, by_hand.max((1, 2), keepdims=True))
    assert by_hand.numpy().any()
    np.testing.assert_allclose(maps, by_hand, atol=1e-3)


@needs_kerashub
@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "vit_multilevel"])
@pytest.mark.usefixtures("small")
def test_one_step_of_each_phase_trains_what_it_should(name, examples):
    rig = Rig(examples, model=name, frozen_features="live", weights="none", image_size=32)
    base, head = rig.detector.base.trainable_variables, rig.detector.head.trainable_variables
    for phase, train_base in (("frozen", False), ("finetune", True)):
        before = rig.weights(base), rig.weights(head)
        rig.train(phase, calls=(1,), rate=1e-2)
        moved = [np.any(a != b) for a, b in zip(before[0], rig.weights(base))]
        assert all(moved) if train_base else not any(moved), phase
        assert all(np.any(a != b) for a, b in zip(before[1], rig.weights(head))), phase
