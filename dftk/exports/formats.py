"""Writes detectors as SavedModel, LiteRT or ONNX, and runs such files by their own runtimes.

All three take `image`, uint8 [b, h, w, 3] of any size, and give `probability`, float32 [b, 1], of
fake: the mean over the members. They resize as the members do.
"""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from dftk.input import decoding
from dftk.utils import limits
from dftk.utils.errors import UserError

# The Resize of opset 18 is the first with `antialias`, so that its absence means something; 18 is
# also the newest opset that tf2onnx 1.17 writes.
ONNX_OPSET = 18
_IMAGE = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
_JPEG = tf.TensorSpec([None], tf.string, name="jpeg")

Members = Sequence[keras.Model]
Run = Callable[[np.ndarray], np.ndarray]  # from uint8 [b, h, w, 3] to float32 [b, 1], of fake


@dataclasses.dataclass(frozen=True)
class Format:
    """How one format is written, run and inspected.

    Attributes:
      packages: that it needs beyond those of dftk.
      write: writes members to a file or folder.
      open: makes a function that runs a file or folder.
      dtypes: names the dtypes of all tensors in it.
    """

    packages: tuple[str, ...]
    write: Callable[[Members, Path], None]
    open: Callable[[Path], Run]
    dtypes: Callable[[Path], set[str]]

    def require_packages(self) -> None:
        """Raises UserError if one is not installed."""
        if missing := [name for name in self.packages if importlib.util.find_spec(name) is None]:
            raise UserError(
                f"this format needs {', '.join(missing)}, not installed here: "
                "pip install -e '.[export]'"
            )


def write_saved_model(members: Members, path: Path) -> None:
    """Writes a SavedModel, for TF Serving and tf.saved_model.load.

    The signature `serving_default` takes `image`. `serving_bytes` takes `jpeg`, string [b]: files
    of any sizes, which it decodes as training does and resizes one by one.

    Raises:
      UserError: a member was not built by dftk, so that the layer that resizes is not known.
    """
    _save(
        members,
        path,
        serving_default=(lambda image: {"probability": _mean(members, image)}, _IMAGE),
        serving_bytes=(_from_jpeg(members), _JPEG),
    )


def _save(members: Members, path: Path, **signatures: tuple) -> None:
    """Does what Keras's ExportArchive does, which writes every variable twice in Keras 3.15."""
    module = tf.Module()
    module.held = [weight.value for member in members for weight in member.variables]
    functions = {
        name: tf.function(function, input_signature=[spec])
        for name, (function, spec) in signatures.items()
    }
    tf.saved_model.save(module, str(path), signatures=functions)


def _mean(members: Members, images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean([member(images, training=False) for member in members], axis=0)


def _from_jpeg(members: Members) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes the function from JPEG files, string [b], to probabilities, which scores one batch."""
    halves = [_split(member) for member in members]
    resize = halves[0][0]  # all members of a run resize alike
    spec = tf.TensorSpec(resize.output_shape[1:], tf.float32)

    def unit_image(jpeg: tf.Tensor) -> tf.Tensor:
        return resize(decoding.decode_image(jpeg)[None])[0]

    def probability(jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        unit = tf.map_fn(unit_image, jpeg, fn_output_signature=spec)
        return {"probability": _mean([classify for _, classify in halves], unit)}

    return probability


def _split(member: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns the layer that resizes images, and a model of all layers after it."""
    names = [layer.name for layer in member.layers]
    if "unit_image" not in names[:-1]:
        raise UserError(
            f"model {member.name}: no layer unit_image; export a model saved by dftk.train"
        )
    position = names.index("unit_image")
    return member.layers[position], keras.Model(member.layers[position + 1].input, member.output)


def open_saved_model(path: Path) -> Run:
    """Opens a SavedModel; the function runs `serving_default`."""
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda images: signature(image=tf.constant(images))["probability"].numpy()


def open_serving_bytes(path: Path) -> Callable[[Sequence[bytes]], np.ndarray]:
    """Opens a SavedModel; the function runs `serving_bytes`: JPEG files to float32 [n, 1]."""
    signature = tf.saved_model.load(str(path)).signatures["serving_bytes"]
    return lambda jpegs: signature(jpeg=tf.constant(list(jpegs)))["probability"].numpy()


def _saved_model_dtypes(path: Path) -> set[str]:
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    kinds = {
        kind
        for node in nodes
        for value in node.attr.values()
        for kind in (value.type, *value.list.type)
        if kind
    }
    return {tf.as_dtype(kind).name for kind in kinds}


def write_litert(members: Members, path: Path) -> None:
    """Writes a LiteRT file (.tflite) by TensorFlow's converter.

    It converts a SavedModel. From a function alone, the converter keeps variables without their
    values, and the file computes NaN.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved_model"
        _save(
            members,
            saved,
            serving_default=(lambda image: {"probability": _mean(members, image)}, _IMAGE),
        )
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert())


def open_litert(path: Path) -> Run:
    """Opens a LiteRT file; its runner resizes the input tensor for each new shape."""
    runner = _litert_interpreter(path).get_signature_runner("serving_default")
    return lambda images: runner(image=images)["probability"]


def _litert_interpreter(path: Path):  # type: ignore[no-untyped-def]
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path), num_threads=limits.cores())


def _litert_dtypes(path: Path) -> set[str]:
    details = _litert_interpreter(path).get_tensor_details()
    return {np.dtype(tensor["dtype"]).name for tensor in details}


def write_onnx(members: Members, path: Path) -> None:
    """Writes an ONNX file of opset ONNX_OPSET by tf2onnx; batch, height and width are dynamic."""
    import onnx
    import tf2onnx

    @tf.function(input_signature=[_IMAGE])
    def probability(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probability": _mean(members, image)}

    proto, _ = tf2onnx.convert.from_function(
        probability, [_IMAGE], opset=ONNX_OPSET, custom_op_handlers={"Erfc": (_write_erfc, [])}
    )
    names = ("batch", "height", "width")
    for value in (*proto.graph.input, *proto.graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, names):
            if not dimension.dim_value:
                dimension.dim_param = name
    onnx.save(proto, str(path))


def _write_erfc(graph: Any, node: Any, name: str, _: Any) -> None:
    """Writes Erfc as 1 - Erf: TensorFlow's GELU uses it, neither tf2onnx 1.17 nor ONNX has it."""
    output = node.output[0]
    like = {"shapes": [graph.get_shape(output)], "dtypes": [graph.get_dtype(output)]}
    graph.remove_node(name)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    erf = graph.make_node("Erf", node.input, **like)
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=name, outputs=[output], **like)


def open_onnx(path: Path) -> Run:
    """Opens an ONNX file in onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = limits.cores()
    # Threads that wait in a loop would take cores from the runtimes it is compared with.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probability"], {"image": images})[0]


def _onnx_dtypes(path: Path) -> set[str]:
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    kinds = {value.type.tensor_type.elem_type for value in values} - {0}
    kinds |= {tensor.data_type for tensor in graph.initializer}
    return {onnx.helper.tensor_dtype_to_np_dtype(kind).name for kind in kinds}


FORMATS = {
    "saved_model": Format((), write_saved_model, open_saved_model, _saved_model_dtypes),
    "litert": Format(("ai_edge_litert",), write_litert, open_litert, _litert_dtypes),
    "onnx": Format(("onnx", "onnxruntime", "tf2onnx"), write_onnx, open_onnx, _onnx_dtypes),
}
