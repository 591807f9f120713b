"""Xception (Chollet 2017, arXiv:1610.02357) from keras.applications."""

import keras


def network(weights: str | None, image_size: int | None = None) -> keras.Model:
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
