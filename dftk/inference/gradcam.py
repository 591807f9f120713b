"""Grad-CAM: heatmaps of the places in an image that speak for fake.

After Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2. A is the last convolutional
activation. The weight alpha_k of its channel k is the mean, over the pixels, of the gradient of the
logit for fake with respect to A. The map is ReLU(sum_k alpha_k A_k).

Where the head sees several activations, their maps are added before the ReLU. In a transformer, A
is the map of tokens. Tokens have seen the whole image by then, so these maps are less sharp.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import keras
import matplotlib
import numpy as np
import tensorflow as tf

from dftk.inference.split_model import LayerCall, layer_calls
from dftk.utils.errors import UserError

_OPACITY = 0.6  # of the colour at the hottest pixel
_EXPLAINERS: weakref.WeakKeyDictionary[keras.Model, "GradCam"] = weakref.WeakKeyDictionary()
_POOLING = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def heatmaps(model: keras.Model, images: tf.Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the Grad-CAM maps of a batch. A model is traced once, for images of all sizes.

    Args:
      model: a detector, as `saved_models.load_model` returns it.
      images: uint8 [b, h, w, 3].

    Returns:
      the maps, float32 [b, h, w] in [0, 1], and the probabilities of fake, float32 [b]. Each map is
      divided by its own maximum: 1 is the hottest place of that image, and two maps cannot be
      compared. A map is all zero where nothing speaks for fake.

    Raises:
      UserError: the model has no convolution and no map of tokens, or does not end in a sigmoid
        Activation layer.
    """
    if model not in _EXPLAINERS:
        _EXPLAINERS[model] = GradCam(model)
    maps, logits = _EXPLAINERS[model](tf.convert_to_tensor(images))
    return maps.numpy(), tf.sigmoid(logits).numpy()


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a map over an image. Where the map is 0, the image stays as it is.

    Args:
      image: uint8 [h, w, 3].
      heat: float32 [h, w] in [0, 1].

    Returns:
      uint8 [h, w, 3].
    """
    colours = matplotlib.colormaps["turbo"](heat)[..., :3] * 255
    opacity = _OPACITY * heat[..., None]
    return np.round(image * (1 - opacity) + colours * opacity).astype(np.uint8)


class GradCam:
    """A detector, split at its last convolutional activation, as one compiled function."""

    def __init__(self, model: keras.Model):
        self._before, self._after = _split(model)
        spec = tf.TensorSpec([None, None, None, 3], tf.uint8)
        # Without AutoGraph, which would add to the message of a UserError; nothing here needs it.
        self._maps = tf.function(self._explain, input_signature=[spec], autograph=False)

    def __call__(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """uint8 [b, h, w, 3] to maps, float32 [b, h, w] in [0, 1], and logits, float32 [b]."""
        return self._maps(images)

    def _explain(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        activations = _chain(self._before, images)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(activations)
            logits = tf.cast(_chain(self._after, activations)[:, 0], tf.float32)
        # Images of a batch do not mix at inference: each gradient is that of the image's own logit.
        gradients = tf.nest.flatten(tape.gradient(logits, activations))
        if any(gradient is None for gradient in gradients):
            raise UserError(
                "Grad-CAM needs a logit with a gradient, and a forest's steps have none; "
                "explain a model with another --head"
            )
        maps = 0.0
        for activation, gradient in zip(tf.nest.flatten(activations), gradients):
            weights = tf.reduce_sum(tf.cast(gradient, tf.float32), axis=[1, 2], keepdims=True)
            one = tf.reduce_sum(weights * tf.cast(activation, tf.float32), -1)
            maps += tf.image.resize(one[..., None], tf.shape(images)[1:3])[..., 0]
        maps = tf.nn.relu(maps)
        return tf.math.divide_no_nan(maps, tf.reduce_max(maps, [1, 2], keepdims=True)), logits


def _chain(parts: Sequence[keras.Model], tensor: tf.Tensor) -> tf.Tensor:
    for part in parts:
        tensor = part(tensor, training=False)
    return tensor


def _split(model: keras.Model) -> tuple[list[keras.Model], list[keras.Model]]:
    """Splits a model into chains of models: from the image to A, and from A to the logit.

    They share the layers of `model`.
    """
    source, calls = layer_calls(model)
    last = calls[-1] if calls else None
    if not (
        last
        and isinstance(last.layer, keras.layers.Activation)
        and last.layer.activation is keras.activations.sigmoid
    ):
        raise UserError(
            f"{model.name}: Grad-CAM needs a model that ends in a sigmoid Activation layer; "
            "explain one that dftk.train has saved"
        )
    return _split_at_activation(source, calls, last.input)


def _split_at_activation(
    source: keras.KerasTensor, calls: Sequence[LayerCall], target: keras.KerasTensor
) -> tuple[list[keras.Model], list[keras.Model]]:
    """Splits the path from `source` to `target` at the last activation, in nested models too."""
    places = [place for place, call in enumerate(calls) if _makes_map(call.layer)]
    if not places:
        raise UserError(
            "Grad-CAM needs a model with a convolution or a map of tokens; explain another one"
        )
    last = calls[places[-1]]
    if isinstance(last.output, list):  # the head sees several activations
        return _between(source, last.output), _between(last.output, target)
    if isinstance(last.layer, keras.Model):
        inner_source, inner_calls = layer_calls(last.layer)
        before, after = _split_at_activation(inner_source, inner_calls, inner_calls[-1].output)
        return (
            [*_between(source, last.input), *before],
            [*after, *_between(last.output, target)],
        )
    # Layers up to the next pooling (BatchNorm, ReLU, a residual sum) belong to the activation.
    for call in calls[places[-1] + 1 :]:
        if len(call.output.shape) != 4 or isinstance(call.layer, _POOLING):
            break
        last = call
    return _between(source, last.output), _between(last.output, target)


def _between(start: keras.KerasTensor, end: keras.KerasTensor) -> list[keras.Model]:
    if start is end:
        return []
    try:
        return [keras.Model(start, end)]
    except ValueError as error:  # a path that goes around `start`
        raise UserError(
            "Grad-CAM needs a model whose logit depends on its last convolutional activation "
            "alone; explain another one"
        ) from error


def _makes_map(layer: Any) -> bool:
    if isinstance(layer, keras.Model):
        return any(map(_makes_map, layer.layers))
    if isinstance(layer, keras.layers.Reshape):
        return len(layer.target_shape) == 3
    return isinstance(layer, _CONVOLUTIONS)
