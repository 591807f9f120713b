"""A small network that sees how pixels differ from their neighbours, and nothing else.

A generator's traces lie in the finest detail, where a photograph's noise is; what the picture
shows hides them. So the first layer is fixed, as in steganalysis (Fridrich and Kodovsky 2012,
doi:10.1109/TIFS.2012.2190402) and in Tan et al. 2024 (arXiv:2312.10461): differences of
neighbouring pixels, colour by colour, cut off where they are an edge's and not the noise's. Behind
it are residual blocks (He et al. 2016, arXiv:1603.05027) as wide as a CPU trains within minutes. It
is for images as the camera or the generator left them: resizing and compression take away what it
looks at.
"""

import keras
import numpy as np

from dftk.models.backbones.backbone import Backbone, residual_sums

FILTERS = (16, 32, 64, 128)  # of the stages; each halves the image
CUT = 8  # levels of 255 to either side
# [row, column, sort]: a pixel less its neighbour on the right, below, and below on the right.
DIFFERENCES = np.array([[[1, 1, 1], [-1, 0, 0]], [[0, -1, 0], [0, 0, -1]]], np.float32)


def network(weights: str | None, image_size: int | None = None) -> keras.Model:
    """float [b, h, w, 3] in [-1, 1], of any size, to features [b, h / 16, w / 16, 128].

    Args:
      weights: None, for random ones; the config refuses ImageNet's, there are none.
      image_size: any.
    """
    del weights, image_size
    image = keras.Input((None, None, 3))
    kernel = 127.5 / CUT * np.stack([DIFFERENCES] * 3, axis=2)
    # In float32: bfloat16 would round pixels by up to half a level before they are compared.
    differences = keras.layers.DepthwiseConv2D(
        2, depth_multiplier=3, use_bias=False, trainable=False, name="differences", dtype="float32",
        depthwise_initializer=keras.initializers.Constant(kernel),
    )(image)  # fmt: skip
    cut = keras.layers.Activation("hard_tanh", dtype="float32", name="cut")(differences)
    activation = _normal(_convolution(FILTERS[0], 3, 2)(cut))
    for filters in FILTERS:
        activation = _block(activation, filters, 1 if filters == FILTERS[0] else 2)
    last = keras.layers.ReLU()(keras.layers.BatchNormalization()(activation))
    return keras.Model(image, last, name="residual")


def _convolution(filters: int, size: int, strides: int) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(),
    )  # fmt: skip


def _normal(activation: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(activation))


def _block(activation: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    """Two convolutions around which the input goes on."""
    change = _convolution(filters, 3, strides)(_normal(activation))
    change = _convolution(filters, 3, 1)(_normal(change))
    if strides > 1:
        activation = _convolution(filters, 1, strides)(activation)
    return keras.layers.Add()([activation, change])


def backbone(multilevel: bool) -> Backbone:
    """Returns the network as a backbone, whose head sees every level; see catalog.Architecture."""
    del multilevel  # the catalog names no other model
    return Backbone(network, levels=residual_sums)
