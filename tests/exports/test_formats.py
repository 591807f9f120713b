"""On the small network, whose files are written in a second; test_export has the large one."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.datasets import sample
from dftk.exports import comparison, formats
from dftk.input import decoding
from dftk.models import registry
from dftk.runs import saved_models
from dftk.training.config import resolve
from dftk.utils.errors import UserError


def needing_packages(name):
    packages = formats.FORMATS[name].packages
    missing = any(importlib.util.find_spec(package) is None for package in packages)
    reason = f"needs {', '.join(packages)}: pip install -e '.[export]'"
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=reason))


FORMATS = [needing_packages(name) for name in formats.FORMATS]


@pytest.fixture(scope="module")
def members():
    configs = [
        resolve({"dataset": "sample", "model": "cnn", "image_size": 32, "seed": seed})
        for seed in (1, 2)
    ]
    return [registry.build(config, "float32", False).model for config in configs]


@pytest.fixture(scope="module")
def written(members, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")

    def write(kind):
        path = folder / kind
        if not path.exists():
            formats.FORMATS[kind].write(members, path)
        return path

    return write


def images(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_mean_of_members_at_any_size(kind, written, members):
    run = formats.FORMATS[kind].open(written(kind))
    keras_run = comparison.as_run(saved_models.Ensemble(members))
    # The resized size itself, a whole multiple, odd ones, a single row.
    for size in [(32, 32), (256, 256), (199, 301), (1, 5)]:
        batch = np.stack(images(size, size, size))
        answer = run(batch)
        assert (answer.shape, answer.dtype) == ((3, 1), np.float32)
        np.testing.assert_allclose(answer, keras_run(batch), atol=2e-5)
    batch = np.stack(images((64, 64)))
    alone = [comparison.as_run(saved_models.Ensemble([member]))(batch) for member in members]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3, "members differ, so that a mean shows"


@pytest.mark.parametrize("kind", FORMATS)
def test_batches_of_other_sizes_one_after_the_other(kind, written):
    run = formats.FORMATS[kind].open(written(kind))
    (image,) = images((40, 56))
    first = run(image[None])
    run(np.stack(images((64, 64)) * 4))
    np.testing.assert_allclose(run(np.stack([image] * 3)), np.repeat(first, 3, 0), atol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_all_tensors_are_of_whole_precision(kind, written):
    dtypes = formats.FORMATS[kind].dtypes(written(kind))
    assert {"uint8", "float32"} <= dtypes
    assert not dtypes & {"float16", "bfloat16"}


@pytest.mark.parametrize("kind", FORMATS[1:])
def test_a_gelu_is_written(kind, tmp_path):
    """As in ConvNeXt and the transformer."""
    image = keras.Input((None, None, 3), dtype="uint8")
    unit = keras.layers.Rescaling(1 / 128, -1, dtype="float32")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("gelu")(unit))
    model = keras.Model(image, keras.layers.Dense(1, "sigmoid")(pooled))
    path = tmp_path / f"gelu.{kind}"
    formats.FORMATS[kind].write([model], path)
    batch = np.stack(images((9, 7), (9, 7)))
    np.testing.assert_allclose(formats.FORMATS[kind].open(path)(batch), model(batch), atol=1e-5)


@pytest.mark.parametrize("kind", FORMATS)
def test_half_precision_inside_is_seen(kind, tmp_path):
    path = tmp_path / "half"
    if kind == "onnx":  # tf2onnx makes float32 of all halves: a file of one's own
        pytest.importorskip("onnx")
        write_onnx_cast(path)
    else:
        image = keras.Input((None, None, 3), dtype="uint8")
        unit = keras.layers.Rescaling(1 / 255, dtype="float32")(image)
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float16")(unit)
        dense = keras.layers.Dense(1, "sigmoid", dtype="float32")(pooled)
        members = [keras.Model(image, dense)]
        signature = (lambda image: {"probability": formats._mean(members, image)}, formats._IMAGE)
        formats._save(members, path, serving_default=signature)
        if kind == "litert":
            path = tmp_path / "half.tflite"
            formats.write_litert(members, path)
    assert "float16" in formats.FORMATS[kind].dtypes(path)


def write_onnx_cast(path):
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["probability"], to=TensorProto.FLOAT),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch"])
    probability = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch"])
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [image], [probability])), str(path))


def test_serving_bytes_decodes_as_training_and_mixes_sizes(written, members):
    rng = np.random.default_rng(1)
    jpegs = [sample.draw_jpeg(rng, fake=bool(index % 2)) for index in range(2)]
    jpegs += [tf.io.encode_jpeg(image).numpy() for image in images((199, 301), (31, 20))]
    answer = formats.open_serving_bytes(written("saved_model"))(jpegs)
    keras_run = comparison.as_run(saved_models.Ensemble(members))
    expected = [keras_run(decoding.decode_image(jpeg).numpy()[None])[0] for jpeg in jpegs]
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_names_and_free_sizes_of_a_saved_model(written):
    signatures = tf.saved_model.load(str(written("saved_model"))).signatures
    assert set(signatures) == {"serving_default", "serving_bytes"}
    (image,) = signatures["serving_default"].structured_input_signature[1].values()
    assert (image.name, image.dtype, image.shape.as_list()) == (
        "image",
        tf.uint8,
        [None, None, None, 3],
    )
    assert list(signatures["serving_default"].structured_outputs) == ["probability"]


def test_a_saved_model_holds_every_weight_once(written, members):
    reader = tf.train.load_checkpoint(str(written("saved_model") / "variables" / "variables"))
    shapes = [shape for name, shape in reader.get_variable_to_shape_map().items() if "held" in name]
    assert sum(map(np.prod, shapes)) == sum(
        np.prod(weight.shape) for member in members for weight in member.variables
    )
    size = (written("saved_model") / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert size < 1.1 * 4 * sum(member.count_params() for member in members) + 50_000


def test_names_and_free_sizes_of_onnx(written):
    onnx = pytest.importorskip("onnx", reason="needs pip install -e '.[export]'")
    pytest.importorskip("tf2onnx", reason="needs pip install -e '.[export]'")
    model = onnx.load(str(written("onnx")))
    onnx.checker.check_model(model)
    (image,), (probability,) = model.graph.input, model.graph.output
    assert (image.name, probability.name) == ("image", "probability")
    sizes = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert sizes == ["batch", "height", "width", 3]
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]


def test_a_model_of_another_kind_has_no_bytes(tmp_path):
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, keras.layers.Dense(1, "sigmoid")(pooled))
    with pytest.raises(UserError, match="no layer unit_image"):
        formats.write_saved_model([model], tmp_path / "model")


def test_a_missing_package_is_named():
    with pytest.raises(UserError, match=r"needs no_such_package.*pip install -e '\.\[export\]'"):
        formats.Format(("no_such_package",), *[print] * 3).require_packages()
