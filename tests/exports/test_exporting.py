"""On the small network, trained in half precision as far as its file knows."""

import dataclasses
import importlib.util
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from dftk.datasets import sample
from dftk.exports import exporting, formats, manifest, output_files
from dftk.models import registry
from dftk.training.config import resolve
from dftk.utils.errors import UserError

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("tf2onnx") is None or importlib.util.find_spec("onnxruntime") is None,
    reason="needs onnx, onnxruntime, tf2onnx: pip install -e '.[export]'",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    config = resolve({"dataset": "sample", "model": "cnn", "image_size": 32})
    path = tmp_path_factory.mktemp("model") / "model.keras"
    registry.build(config, "mixed_bfloat16", False).model.save(path)
    return manifest.find_models(path, None)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index in range(5):
        rng = np.random.default_rng(index)
        (folder / f"{index}.jpg").write_bytes(sample.draw_jpeg(rng, fake=bool(index % 2)))
    pixels = np.random.default_rng(9).integers(0, 256, (31, 50, 3), np.uint8)
    (folder / "9.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return folder


def export(source, kind, output, images, **options):
    options = {"max_images": 9, "tolerance": 1e-4, "overwrite": False, **options}
    return exporting.export(source, kind, output, images=images, **options)


def plant(monkeypatch, kind, write):
    """Makes `write` the writer of a format, for a fault of its own."""
    faulty = dataclasses.replace(formats.FORMATS[kind], write=write)
    monkeypatch.setitem(formats.FORMATS, kind, faulty)


def test_a_saved_model_in_float32_with_its_manifest(source, images, tmp_path, capsys):
    output = tmp_path / "served" / "1"
    table = export(source, "saved_model", output, images)
    assert table.splitlines()[0].startswith(f"saved_model: {output}, ")
    for row in ("saved_model ", "Keras, float32", "Keras, mixed_bfloat16", "serving_bytes"):
        assert f"\n{row}" in table
    assert "trained in mixed_bfloat16; exported in float32" in capsys.readouterr().err
    described = json.loads((output / "assets.extra" / "dftk.json").read_text())
    gaps = {name: gap["largest"] for name, gap in described["compared"]["difference_to"].items()}
    assert max(gaps["Keras, float32"], gaps["serving_bytes"]) < 1e-5
    assert 1e-5 < gaps["Keras, mixed_bfloat16"] < 0.05, "rounding, and no other weights"
    assert set(described["sha256"]) >= {"saved_model.pb", "variables/variables.index"}
    assert described["sha256"] == {
        name: digest
        for name, digest in output_files.digests(output, "").items()
        if name != "assets.extra/dftk.json"
    }
    assert list(output.parent.iterdir()) == [output]


@needs_onnx
def test_a_file_with_its_manifest_beside_it_and_overwrite(source, images, tmp_path):
    output = tmp_path / "model.onnx"
    export(source, "onnx", output, images)
    described = json.loads((tmp_path / "model.onnx.json").read_text())
    assert described["sha256"] == output_files.digests(output, "model.onnx")
    assert sorted(tmp_path.iterdir()) == [output, tmp_path / "model.onnx.json"]
    with pytest.raises(UserError, match=r"other\.onnx\.json: exists"):
        (tmp_path / "other.onnx.json").write_text("someone's")
        export(source, "onnx", tmp_path / "other.onnx", images)
    before = output.read_bytes()
    with pytest.raises(UserError, match="exists"):
        export(source, "onnx", output, images)
    with pytest.raises(UserError, match="nothing was written"):
        export(source, "onnx", output, images, overwrite=True, tolerance=0.0)
    assert output.read_bytes() == before, "a refused export leaves the former one"
    assert json.loads((tmp_path / "model.onnx.json").read_text()) == described
    export(source, "onnx", output, images, overwrite=True)


@pytest.mark.parametrize(("factor", "words"), [(1.2, r"by 0\.\d+"), (np.nan, "by nan")])
def test_a_wrong_weight_is_caught(factor, words, source, images, tmp_path, monkeypatch):
    def write(members, path):
        wrong = keras.models.clone_model(members[0])
        weights = members[0].get_weights()
        weights[-2] *= factor  # the last kernel
        wrong.set_weights(weights)
        formats.write_saved_model([wrong], path)

    plant(monkeypatch, "saved_model", write)
    with pytest.raises(UserError, match=f"saved_model differs from Keras {words} on 9 images"):
        export(source, "saved_model", tmp_path / "model", images)
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_a_wrong_weight_in_the_file_is_caught(source, images, tmp_path, monkeypatch):
    def write(members, path):
        import onnx
        from onnx import numpy_helper

        formats.write_onnx(members, path)
        model = onnx.load(str(path))
        largest = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
        values = numpy_helper.to_array(largest).copy()
        values.flat[: values.size // 2] *= 1.1
        largest.CopyFrom(numpy_helper.from_array(values, largest.name))
        onnx.save(model, str(path))

    plant(monkeypatch, "onnx", write)
    with pytest.raises(UserError, match="onnx differs from Keras by"):
        export(source, "onnx", tmp_path / "model.onnx", images)
    assert list(tmp_path.iterdir()) == []


def test_half_precision_does_not_leak(source, images, tmp_path, monkeypatch):
    saved = exporting.Detectors.load(source.paths).saved
    plant(monkeypatch, "saved_model", lambda _, path: formats.write_saved_model(saved, path))
    with pytest.raises(UserError, match="saved_model: bfloat16 in it; nothing was written"):
        export(source, "saved_model", tmp_path / "model", images, tolerance=1.0)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_decoded_otherwise_are_caught(source, images, tmp_path, monkeypatch):
    """The fast inverse DCT: TensorFlow's default."""

    def write(members, path):
        from dftk.input import decoding

        with monkeypatch.context() as fast:
            fast.setattr(decoding, "decode_image", lambda data: tf.io.decode_jpeg(data, channels=3))
            formats.write_saved_model(members, path)

    plant(monkeypatch, "saved_model", write)
    with pytest.raises(UserError, match="serving_bytes differs from Keras by"):
        export(source, "saved_model", tmp_path / "model", images)
