"""Xception (Chollet 2017, arXiv:1610.02357) from keras.applications, and the head on it."""

import keras

FEATURES = 2048


def base(weights: str | None, image_size: int | None = None) -> keras.Model:
    """float [b, s, s, 3] to features [b, s / 32, s / 32, 2048].

    Args:
      weights: "imagenet", downloaded by Keras if it is not in its cache; None for random ones.
      image_size: s; any will do.
    """
    del image_size
    # No fixed size: Keras then does not insist on 71 pixels, which the layers do not need.
    return keras.applications.Xception(
        include_top=False, weights=weights, input_shape=(None, None, 3)
    )


def pool() -> keras.layers.Layer:
    """The last activation to its mean over the image."""
    return keras.layers.GlobalAveragePooling2D(dtype="float32")


def head(width: int, dropout: float, l2: float, seed: int, synchronized: bool) -> keras.Model:
    """Pooled features [b, width] to logits float32 [b, 1]; positive means fake.

    All in float32: it costs next to nothing, and a loss in half precision would.

    Args:
      width: of the features.
      dropout: rate after each dense layer.
      l2: penalty on the dense kernels, not on the output layer's.
      seed: of initial kernels and dropout.
      synchronized: BatchNorm statistics over all replicas, not over each one's part of a batch.
    """
    layers = [keras.Input((width,))]
    for position, width in enumerate((256, 128)):
        layers += [
            keras.layers.Dense(
                width,
                activation="relu",
                kernel_initializer=keras.initializers.GlorotUniform(seed + position),
                kernel_regularizer=keras.regularizers.L2(l2),
                dtype="float32",
            ),
            keras.layers.BatchNormalization(synchronized=synchronized, dtype="float32"),
            keras.layers.Dropout(dropout, seed=seed + position, dtype="float32"),
        ]
    last = keras.initializers.GlorotUniform(seed + 2)
    layers.append(keras.layers.Dense(1, kernel_initializer=last, dtype="float32", name="logit"))
    return keras.Sequential(layers, name="head")
