"""The first layers of a saved model: any uint8 image in, an image of one size in [0, 1] out."""

import keras


def unit_image(image_size: int) -> keras.Model:
    """uint8 [b, h, w, 3] of any size to float32 [b, image_size, image_size, 3] in [0, 1].

    Built-in parts only, so that a saved model loads with Keras alone. Bilinear, half-pixel
    centres, no antialiasing: `tf.image.resize`.
    """
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    unit = keras.layers.Rescaling(1 / 255, dtype="float32")(image)
    # The operation, not keras.layers.Resizing: that layer's `training` defaults to True, and in
    # Keras 3.15 a call of the whole model without `training` then leaks it into every layer
    # behind it: BatchNorm and Dropout would train at inference.
    unit = keras.ops.image.resize(unit, (image_size, image_size), interpolation="bilinear")
    return keras.Model(image, unit, name="unit_image")
