"""A small network whose input is the differences of neighbouring pixels.

The traces of a generator are in the finest detail, where the noise of a photograph is, and the
content of the picture hides them. So the first layer is fixed, as in steganalysis (Fridrich and
Kodovsky 2012, doi:10.1109/TIFS.2012.2190402) and in Tan et al. 2024 (arXiv:2312.10461). It computes
differences of neighbouring pixels in each colour, and clips them, because large ones are edges and
not noise. Residual blocks follow (He et al. 2016, arXiv:1603.05027), so narrow that a CPU trains
them within minutes. The network is for images as they left the camera or the generator. Resizing
and compression remove what it looks at.
"""

import keras
import numpy as np

from dftk.models.backbones.backbone import Backbone, residual_sums

FILTERS = (16, 32, 64, 128)  # of the stages; each halves the image
CUT = 8  # largest difference, in levels of 255
# [row, column, kind]: a pixel minus its neighbour on the right, below, and below on the right.
DIFFERENCES = np.array([[[1, 1, 1], [-1, 0, 0]], [[0, -1, 0], [0, 0, -1]]], np.float32)


def network(weights: str | None, image_size: int | None = None) -> keras.Model:
    """Returns the network, from float [b, h, w, 3] in [-1, 1] to features [b, h / 16, w / 16, 128].

    Args:
      weights: None, for random ones; the config refuses "imagenet", because there are none.
      image_size: of no effect; the network takes images of any size.
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
    """Returns the input plus two convolutions of it."""
    change = _convolution(filters, 3, strides)(_normal(activation))
    change = _convolution(filters, 3, 1)(_normal(change))
    if strides > 1:
        activation = _convolution(filters, 1, strides)(activation)
    return keras.layers.Add()([activation, change])


def backbone(multilevel: bool) -> Backbone:
    """Returns the network as a backbone, whose head sees every level; see catalog.Architecture."""
    del multilevel  # the catalog names no other model
    return Backbone(network, levels=residual_sums)
