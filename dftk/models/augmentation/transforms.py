"""Flip, colour and crop of whole batches on the device, each image by its own random numbers."""

import tensorflow as tf

BRIGHTNESS = 0.2  # largest shift, of a [0, 1] image
CONTRAST = SATURATION = (0.8, 1.2)  # range of the factor
HUE = 0.05  # largest shift, in turns
NUM_RANDOMS = 5  # that `flip_and_jitter` takes


@tf.function(jit_compile=True, reduce_retracing=True)
def flip_and_jitter(images: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
    """Flips each image at random, then changes its brightness, contrast, saturation and hue.

    The result equals the chain tf.image.flip_left_right, adjust_brightness, adjust_contrast,
    adjust_saturation, adjust_hue on one image at a time, without a clip in between or after. Here
    it is one XLA computation on channel planes. On a CPU, too, it takes a fraction of the time of
    single operations (benchmarks/test_augment_speed.py).

    Args:
      images: float32 [b, h, w, 3], [0, 1].
      randoms: float32 [b, 5] in [0, 1), for flip, brightness, contrast, saturation and hue.

    Returns:
      float32 [b, h, w, 3].
    """
    flip, brightness, contrast, saturation, hue = tf.unstack(randoms[:, :, None, None], axis=1)
    planes = tf.transpose(images, [3, 0, 1, 2])
    planes = tf.where(flip < 0.5, planes[..., ::-1], planes)
    mean = tf.reduce_mean(planes, axis=[2, 3], keepdims=True)
    # Brightness and contrast in one: the shift moves the mean along.
    factor = _uniform(*CONTRAST, contrast)
    planes = planes * factor
    planes += mean * (1.0 - factor) + _uniform(-BRIGHTNESS, BRIGHTNESS, brightness)
    planes = _saturation_and_hue(
        planes, _uniform(*SATURATION, saturation), _uniform(-HUE, HUE, hue)
    )
    return tf.transpose(planes, [1, 2, 3, 0])


def flip(images: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
    """Swaps left and right of images with a number below one half, as `flip_and_jitter` does.

    Args:
      images: [b, h, w, c].
      randoms: float32 [b] in [0, 1).
    """
    return tf.where(randoms[:, None, None, None] < 0.5, images[:, :, ::-1], images)


def crop(images: tf.Tensor, randoms: tf.Tensor, size: int) -> tf.Tensor:
    """Returns a random square of each image. Pixels are not changed.

    Args:
      images: [b, h, w, c], h and w at least `size`.
      randoms: float32 [b, 2] in [0, 1), for the place of its top and of its left side.
      size: height and width in pixels.

    Returns:
      [b, size, size, c].
    """
    room = tf.cast(tf.shape(images)[1:3] - size + 1, tf.float32)
    corner = tf.cast(randoms * room, tf.int32)
    corner = tf.minimum(corner, tf.shape(images)[1:3] - size)  # 0.9999999 * 129 rounds up
    indices = corner[:, :, None] + tf.range(size)
    images = tf.gather(images, indices[:, 0], axis=1, batch_dims=1)
    return tf.gather(images, indices[:, 1], axis=2, batch_dims=1)


def _uniform(low: float, high: float, random: tf.Tensor) -> tf.Tensor:
    return low + (high - low) * random


def _saturation_and_hue(planes: tf.Tensor, factor: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Adjusts saturation, then hue, by one conversion to hue, chroma and value.

    The result is that of TensorFlow's kernels (adjust_saturation_op.cc, adjust_hue_op.cc), also
    outside [0, 1]: saturation is 0 where the value is not positive, and is clipped to [0, 1] after
    scaling. So the scaled chroma, saturation times value, is between 0 and the value.

    Args:
      planes: float32 [3, b, h, w].
      factor: float32 [b, 1, 1], of the saturation.
      shift: float32 [b, 1, 1], of the hue, in turns.
    """
    red, green, blue = tf.unstack(planes)
    # Not tf.reduce_max: XLA does not fuse a reduction with what follows, and takes twice as long.
    value = tf.maximum(tf.maximum(red, green), blue)
    chroma = value - tf.minimum(tf.minimum(red, green), blue)
    # Compared with each other, never with `value`: XLA computes a pixel anew where it fuses, with
    # other roundings, and then the maximum equals none of the three.
    is_red, is_green = (red >= green) & (red >= blue), green >= blue
    # Six sextants, one division; a grey pixel has no hue, and its chroma of zero keeps it grey.
    difference = tf.where(is_red, green - blue, tf.where(is_green, blue - red, red - green))
    sextant = difference / tf.maximum(chroma, 1e-30)
    sextant += tf.where(is_red, 0.0, tf.where(is_green, 2.0, 4.0)) + 6.0 * shift
    chroma = tf.clip_by_value(chroma * factor, 0.0, tf.maximum(value, 0.0))
    # Smith's HSV as one formula: a channel is value - chroma * clip(2 - |d - 3|, 0, 1), where d is
    # the distance of its own sextant, 0, 2 or 4, around a circle of six. Without the wrap around
    # it holds for sextants from -2 to 7, which HUE keeps far from.
    channels = []
    for own in (0.0, 2.0, 4.0):
        distance = tf.abs(tf.abs(sextant - own) - 3.0)
        channels.append(value - chroma * tf.clip_by_value(2.0 - distance, 0.0, 1.0))
    return tf.stack(channels)
