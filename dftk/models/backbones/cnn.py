"""A plain convolutional network trained from scratch, the yardstick for transfer learning.

Stages of Conv2D, ReLU and MaxPooling2D, then Flatten and one dense layer: what people build first,
and what the notebook that this project replaces names as its alternative, for 256x256 images.
Kernels begin as He et al. 2015 (arXiv:1502.01852) have it for ReLU: from Keras's default, what
tells images apart shrinks from stage to stage, and the first epochs learn nothing.
"""

import keras

from dftk.models.backbones.backbone import Backbone

FILTERS = (32, 64, 128, 128)  # of the stages; each halves the image


def network(weights: str | None, image_size: int) -> keras.Model:
    """float [b, image_size, image_size, 3] to features [b, image_size / 16, image_size / 16, 128].

    Args:
      weights: None, for random ones; the config refuses ImageNet's, there are none.
      image_size: multiples of 16 lose nothing at the border.
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
    """The last stage's activation to a vector that keeps the place of everything."""
    return keras.layers.Flatten(dtype="float32")


def backbone(multilevel: bool) -> Backbone:
    """Returns the network as a backbone; see catalog.Architecture."""
    del multilevel  # the catalog names no such model
    return Backbone(network, pool=flatten)
