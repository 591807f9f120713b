"""Saved detectors in parts: what resizes an image, and what makes a probability of it.

Images of many sizes can then share a batch: each is resized by itself, and the network, which
takes nearly all the time, sees full batches. Parts share the layers of the model.
"""

import dataclasses
import weakref
from typing import Any

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Call:
    """One layer's place in a functional model."""

    layer: Any  # a layer or an operation
    input: keras.KerasTensor  # the first, if it has several
    output: Any  # one tensor, or a list of them


def calls(model: keras.Model) -> tuple[keras.KerasTensor, list[Call]]:
    """The input of a functional model and its calls in order, on tensors of their own."""
    functional = keras.Model(model.inputs, model.outputs)  # of a Sequential, too
    found: list[Call] = []

    def call(layer: Any, *inputs: Any, **options: Any) -> keras.KerasTensor:
        output = layer(*inputs, **options)
        found.append(Call(layer, keras.tree.flatten(inputs)[0], output))
        return output

    clone = keras.models.clone_model(
        functional, clone_function=lambda layer: layer, call_function=call
    )
    return clone.inputs[0], found


class Member:
    """A detector as two compiled functions, traced once for images of all sizes.

    Attributes:
      resize: uint8 [b, h, w, 3] to what the network takes, float32 [b, s, s, 3]; None where the
        model never brings images to one size, and takes them as they are.
      network: that, or uint8 [b, h, w, 3] without `resize`, to probabilities, float32 [b, 1].
    """

    def __init__(self, model: keras.Model):
        source, found = calls(model)
        fixed = next((call.output for call in found if _is_of_one_size(call.output)), None)
        self.resize: Any = None if fixed is None else _compiled(source, fixed)
        self.network = _compiled(source if fixed is None else fixed, found[-1].output)


_MEMBERS: weakref.WeakKeyDictionary[keras.Model, Member] = weakref.WeakKeyDictionary()


def member(model: keras.Model) -> Member:
    """The parts of a model, made and traced once as long as it lives."""
    if model not in _MEMBERS:
        _MEMBERS[model] = Member(model)
    return _MEMBERS[model]


def _is_of_one_size(tensor: Any) -> bool:
    return not isinstance(tensor, list) and len(tensor.shape) == 4 and None not in tensor.shape[1:]


def _compiled(start: keras.KerasTensor, end: keras.KerasTensor) -> Any:
    part = keras.Model(start, end)
    spec = tf.TensorSpec(start.shape, start.dtype)
    return tf.function(lambda images: part(images, training=False), input_signature=[spec])
