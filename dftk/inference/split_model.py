"""Splits a saved detector in two: the layers that resize an image, and the layers that classify it.

Images of many sizes can then share a batch. Each image is resized by itself, and the classifying
layers, which take nearly all the time, see full batches.
"""

import dataclasses
import weakref
from typing import Any

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One layer's place in the graph of a functional model."""

    layer: Any  # a layer or an operation
    input: keras.KerasTensor  # the first, if the layer has several
    output: Any  # one tensor, or a list of them


def layer_calls(model: keras.Model) -> tuple[keras.KerasTensor, list[LayerCall]]:
    """Returns the input of a model and the calls of its layers in order, as a graph of its own."""
    functional = keras.Model(model.inputs, model.outputs)  # a Sequential becomes one, too
    found: list[LayerCall] = []

    def call(layer: Any, *inputs: Any, **options: Any) -> keras.KerasTensor:
        output = layer(*inputs, **options)
        found.append(LayerCall(layer, keras.tree.flatten(inputs)[0], output))
        return output

    clone = keras.models.clone_model(
        functional, clone_function=lambda layer: layer, call_function=call
    )
    return clone.inputs[0], found


class SplitModel:
    """A detector as two compiled functions, each traced once for images of all sizes.

    They share the layers and weights of the model.

    Attributes:
      resize: from uint8 [b, h, w, 3] to the input of `classify`, float32 [b, s, s, 3]; None where
        the model never brings images to one size.
      classify: from that, or from uint8 [b, h, w, 3] if `resize` is None, to probabilities of fake,
        float32 [b, 1].
    """

    def __init__(self, model: keras.Model):
        source, calls = layer_calls(model)
        resized = next((call.output for call in calls if _has_fixed_size(call.output)), None)
        self.resize: Any = None if resized is None else _compile(source, resized)
        self.classify = _compile(source if resized is None else resized, calls[-1].output)


_SPLIT_MODELS: weakref.WeakKeyDictionary[keras.Model, SplitModel] = weakref.WeakKeyDictionary()


def split(model: keras.Model) -> SplitModel:
    """Splits a model; the same model is split and traced once as long as it lives."""
    if model not in _SPLIT_MODELS:
        _SPLIT_MODELS[model] = SplitModel(model)
    return _SPLIT_MODELS[model]


def _has_fixed_size(tensor: Any) -> bool:
    return not isinstance(tensor, list) and len(tensor.shape) == 4 and None not in tensor.shape[1:]


def _compile(start: keras.KerasTensor, end: keras.KerasTensor) -> Any:
    part = keras.Model(start, end)
    spec = tf.TensorSpec(start.shape, start.dtype)
    return tf.function(lambda images: part(images, training=False), input_signature=[spec])
