"""BatchNorm that only applies stored statistics is part of the convolution before it.

With a = gamma / sqrt(variance + epsilon), BatchNorm of a convolution without bias is the same
convolution with its kernels times a, plus beta - mean * a (Jacob et al. 2018, arXiv:1712.05877,
section 3.2). A pass over all activations becomes one over the weights, forward and backward, and
gamma and beta still train. Keras would make it in float32 even where activations are bfloat16.
"""

from typing import Any

import keras
import tensorflow as tf

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.SeparableConv2D)


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """A model that shares every weight with `model` and equals it at `training=False`.

    Differences are those of rounding. Each BatchNorm that follows a convolution without bias is
    folded into it; all else stays as it is.

    Args:
      model: functional.
    """
    convolved: dict[int, tuple[keras.layers.Layer, keras.KerasTensor]] = {}
    outputs = []  # kept, so that no id of one is given to another

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

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _can_fold(convolution: keras.layers.Layer) -> bool:
    return (
        not convolution.use_bias
        and convolution.activation is keras.activations.linear
        and convolution.data_format == "channels_last"
        and convolution.dilation_rate == (1, 1)
        and getattr(convolution, "groups", 1) == 1
    )


class FoldedConvolution(keras.layers.Layer):
    """A convolution and the BatchNorm after it, in one; has no weights of its own."""

    def __init__(self, convolution: keras.layers.Layer, batchnorm: keras.layers.BatchNormalization):
        # As float32, so that Keras hands out weights as they are: in half precision they would be
        # rounded before they are multiplied, and once more after.
        super().__init__(dtype="float32", autocast=False, name=f"{batchnorm.name}_folded")
        # In a function, where Keras does not look: the weights belong to these two.
        self._parts = lambda: (convolution, batchnorm)

    def call(self, image: tf.Tensor) -> tf.Tensor:
        """[b, h, w, channels] to BatchNorm of the convolution, in the dtype these compute in."""
        convolution, batchnorm = self._parts()
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
    """What BatchNorm multiplies each channel by, and adds to it; float32 [channels]."""
    scale = tf.math.rsqrt(batchnorm.moving_variance.value + batchnorm.epsilon)
    if batchnorm.scale:
        scale *= batchnorm.gamma.value
    bias = -batchnorm.moving_mean.value * scale
    if batchnorm.center:
        bias += batchnorm.beta.value
    return scale, bias
