"""A plain convolutional network, trained from scratch, to compare transfer learning with.

It has stages of Conv2D, ReLU and MaxPooling2D, then Flatten and one dense layer. People build this
first, and the notebook that this project replaces names it as an alternative, for 256x256 images.
Kernels are initialised for ReLU as by He et al. 2015 (arXiv:1502.01852). With Keras's default,
differences between images shrink from stage to stage, and the first epochs learn nothing.
"""

import keras

from dftk.models.backbones.backbone import Backbone

FILTERS = (32, 64, 128, 128)  # of the stages; each halves the image


def network(weights: str | None, image_size: int) -> keras.Model:
    """Returns the network, from float [b, s, s, 3] to features [b, s / 16, s / 16, 128].

    Args:
      weights: None, for random ones; the config refuses "imagenet", because there are none.
      image_size: s; if it is no multiple of 16, pixels at the border are lost.
    """
    del weights
    activation = image = keras.Input((image_size, image_size, 3))
    for filters in FILTERS:
        convolution = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.HeUniform(),
        )
        activation = keras.layers.MaxPooling2D()(convolution(activation))
    return keras.Model(image, activation, name="cnn")


def flatten() -> keras.layers.Layer:
    """Returns a layer from the last activation to a vector of all its values in their order."""
    return keras.layers.Flatten(dtype="float32")


def backbone(multilevel: bool) -> Backbone:
    """Returns the network as a backbone; see catalog.Architecture."""
    del multilevel  # the catalog names no such model
    return Backbone(network, pool=flatten)
