"""The first layers of a saved model: from any uint8 image to one of fixed size in [0, 1]."""

import keras


def unit_image(image_size: int) -> keras.Model:
    """Returns a model from uint8 [b, h, w, 3] to float32 [b, image_size, image_size, 3] in [0, 1].

    It resizes as `tf.image.resize` does: bilinear, half-pixel centres, no antialiasing. It is made
    of Keras's own parts, so that a saved model loads with Keras alone.

    Args:
      image_size: height and width in pixels.
    """
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    unit = keras.layers.Rescaling(1 / 255, dtype="float32")(image)
    # Not keras.layers.Resizing: its `training` defaults to True. In Keras 3.15 a call of the whole
    # model without `training` then passes True to every layer behind it, so that BatchNorm and
    # Dropout would train at inference.
    unit = keras.ops.image.resize(unit, (image_size, image_size), interpolation="bilinear")
    return keras.Model(image, unit, name="unit_image")
