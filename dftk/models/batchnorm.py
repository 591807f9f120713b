"""Faster twins of a network for its BatchNorm: one for inference, one for training.

A twin shares every layer and weight with the network, which stays as Keras made it: it alone is
saved. At inference BatchNorm becomes part of the convolution before it. In training it is computed
by TensorFlow's one kernel for it. Both differ from Keras's by rounding only.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.SeparableConv2D)


def fold_batchnorm(network: keras.Model) -> keras.Model:
    """Returns the twin for inference, in which BatchNorm is folded into convolutions.

    With a = gamma / sqrt(variance + epsilon), BatchNorm of a convolution without bias is the same
    convolution with its kernels times a, plus beta - mean * a (Jacob et al. 2018, arXiv:1712.05877,
    section 3.2). A pass over all activations becomes one over the weights, forward and backward,
    and gamma and beta still train. Keras would compute BatchNorm in float32 even where activations
    are bfloat16.

    Args:
      network: functional. A BatchNorm that does not follow a convolution without bias stays.
    """
    convolved: dict[int, tuple[keras.layers.Layer, keras.KerasTensor]] = {}
    outputs = []  # kept, so that no other tensor gets the id of one of them

    def call(
        layer: keras.layers.Layer, *inputs: keras.KerasTensor, **options: Any
    ) -> keras.KerasTensor:
        if isinstance(layer, keras.layers.BatchNormalization) and id(inputs[0]) in convolved:
            convolution, image = convolved[id(inputs[0])]
            return FoldedConvolution(convolution, layer)(image)
        output = layer(*inputs, **options)
        if type(layer) in _CONVOLUTIONS and _can_fold(layer):
            convolved[id(output)] = (layer, inputs[0])
            outputs.append(output)
        return output

    return _twin(network, call)


def fuse_batchnorm(network: keras.Model) -> keras.Model:
    """Returns the twin for training, in which BatchNorm is TensorFlow's fused kernel.

    Keras composes BatchNorm of a dozen operations, each a pass over all activations. On a CPU these
    also gave the gradient other last bits from call to call; the kernel gives the same ones.

    Args:
      network: functional; its BatchNorm layers must not be synchronized. Those of activations
        [b, h, w, c] with gamma and beta are fused, the others stay.
    """

    def call(
        layer: keras.layers.Layer, *inputs: keras.KerasTensor, **options: Any
    ) -> keras.KerasTensor:
        if isinstance(layer, keras.layers.BatchNormalization) and _can_fuse(layer, inputs[0]):
            return FusedBatchNorm(layer)(inputs[0])
        return layer(*inputs, **options)

    return _twin(network, call)


def _twin(network: keras.Model, call: Callable[..., keras.KerasTensor]) -> keras.Model:
    """Returns a model of the same layers, each of them called by `call`."""
    if not any(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers):
        return network
    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def _can_fold(convolution: keras.layers.Layer) -> bool:
    return (
        not convolution.use_bias
        and convolution.activation is keras.activations.linear
        and convolution.data_format == "channels_last"
        and convolution.dilation_rate == (1, 1)
        and getattr(convolution, "groups", 1) == 1
    )


def _can_fuse(batchnorm: keras.layers.BatchNormalization, inputs: keras.KerasTensor) -> bool:
    return batchnorm.scale and batchnorm.center and len(inputs.shape) == 4


class FoldedConvolution(keras.layers.Layer):
    """A convolution and the BatchNorm after it in one. It has no weights of its own."""

    def __init__(self, convolution: keras.layers.Layer, batchnorm: keras.layers.BatchNormalization):
        # As float32, so that Keras hands out weights as they are: in half precision they would be
        # rounded before they are multiplied, and once more after.
        super().__init__(dtype="float32", autocast=False, name=f"{batchnorm.name}_folded")
        # In a function, where Keras does not look: the weights belong to these two.
        self._layers_of = lambda: (convolution, batchnorm)

    def call(self, image: tf.Tensor) -> tf.Tensor:
        """[b, h, w, channels] to BatchNorm of the convolution, in the dtype these compute in."""
        convolution, batchnorm = self._layers_of()
        image = tf.cast(image, convolution.compute_dtype)
        scale, bias = _scale_and_bias(batchnorm)
        strides, padding = convolution.strides, convolution.padding.upper()
        if isinstance(convolution, keras.layers.SeparableConv2D):
            depthwise = tf.cast(convolution.depthwise_kernel.value, image.dtype)
            image = tf.nn.depthwise_conv2d(image, depthwise, [1, *strides, 1], padding)
            kernel, strides, padding = convolution.pointwise_kernel, 1, "VALID"
        else:
            kernel = convolution.kernel
        scaled = tf.cast(kernel.value * scale, image.dtype)
        convolved = tf.nn.conv2d(image, scaled, strides, padding)
        # Not tf.nn.bias_add: TensorFlow 2.21's remapper then tries to fuse it with the residual
        # sum, fails ("exist for missing node") and fuses nothing in the whole graph.
        return convolved + tf.cast(bias, image.dtype)


def _scale_and_bias(batchnorm: keras.layers.BatchNormalization) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what BatchNorm multiplies each channel by, and adds to it; float32 [channels]."""
    scale = tf.math.rsqrt(batchnorm.moving_variance.value + batchnorm.epsilon)
    if batchnorm.scale:
        scale *= batchnorm.gamma.value
    bias = -batchnorm.moving_mean.value * scale
    if batchnorm.center:
        bias += batchnorm.beta.value
    return scale, bias


class FusedBatchNorm(keras.layers.Layer):
    """A BatchNorm layer whose training step is one kernel. It has no weights of its own."""

    def __init__(self, batchnorm: keras.layers.BatchNormalization):
        super().__init__(dtype=batchnorm.dtype_policy, name=f"{batchnorm.name}_fused")
        self._layer_of = lambda: batchnorm  # as in FoldedConvolution

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[b, h, w, c] to the same; `training` as of keras.layers.BatchNormalization."""
        batchnorm = self._layer_of()
        if not (training and batchnorm.trainable):
            return batchnorm(inputs, training=training)
        output, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=batchnorm.gamma,
            offset=batchnorm.beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=batchnorm.epsilon,
        )
        # The kernel divides the sum of squares by n - 1, Keras by n.
        n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        for moving, of_batch in (
            (batchnorm.moving_mean, mean),
            (batchnorm.moving_variance, unbiased * ((n - 1) / n)),
        ):
            moving.assign(moving * batchnorm.momentum + of_batch * (1 - batchnorm.momentum))
        return output
