"""Random blur and JPEG of whole batches, on the device, as images get when they are shared."""

import numpy as np
import tensorflow as tf

QUALITY = (50, 100)  # of JPEG
SIGMA = (0.1, 1.5)  # of the Gaussian, in pixels
_REACH = 4  # radius of the Gaussian in pixels: 2.7 times the largest sigma
# Quantisation steps at quality 50, by frequency down and across; T.81, tables K.1 and K.2.
_LUMA = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56
 14 17 22 29 51 87 80 62  18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92
 49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99
 47 66 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
 99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""
_STEPS = np.stack(
    [np.array(table.split(), np.float32).reshape(8, 8) for table in (_LUMA, _CHROMA, _CHROMA)]
)
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)  # ITU-T T.871
_MIDDLE = np.array([128.0, 0.0, 0.0], np.float32)
_WAVES = np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(8) + 1) / 16) / 2
_WAVES[0] /= np.sqrt(2)  # the orthonormal cosine transform of 8 values
_WAVES = _WAVES.astype(np.float32)


@tf.function(jit_compile=True, reduce_retracing=True)
def jpeg(images: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Returns each image after JPEG compression of its own quality, colour at full resolution.

    The quantisation tables are libjpeg's. libjpeg rounds its integers at other places, which makes
    a difference of less than half a level on average. No gradient passes.

    Args:
      images: float32 [b, h, w, 3]; clipped to [0, 1].
      quality: float32 [b], 1 to 100.

    Returns:
      float32 [b, h, w, 3], multiples of 1 / 255.
    """
    height, width = tf.unstack(tf.shape(images)[1:3])
    planes = tf.round(tf.clip_by_value(images, 0.0, 1.0) * 255.0)
    planes = tf.tensordot(planes, _TO_YCC, [[3], [1]])
    planes = tf.round(planes) - _MIDDLE
    rows, columns = (height + 7) // 8, (width + 7) // 8
    # As libjpeg fills the last blocks: with the pixels at the border.
    planes = tf.gather(planes, tf.minimum(tf.range(8 * rows), height - 1), axis=1)
    planes = tf.gather(planes, tf.minimum(tf.range(8 * columns), width - 1), axis=2)
    blocks = tf.reshape(planes, [-1, rows, 8, columns, 8, 3])
    scale = tf.where(quality < 50, 5000.0 / quality, 200.0 - 2.0 * quality)[:, None, None, None]
    steps = tf.clip_by_value(tf.floor((_STEPS * scale + 50.0) / 100.0), 1.0, 255.0)
    steps = tf.transpose(steps, [0, 2, 3, 1])[:, None, :, None]
    waves = tf.einsum("ui,bricjk->brucjk", _WAVES, blocks)  # first down, then across
    waves = tf.einsum("vj,brucjk->brucvk", _WAVES, waves)
    waves = tf.round(waves / steps) * steps
    blocks = tf.einsum("ui,brucvk->bricvk", _WAVES, waves)
    blocks = tf.einsum("vj,bricvk->bricjk", _WAVES, blocks)
    planes = tf.reshape(blocks, [-1, 8 * rows, 8 * columns, 3])[:, :height, :width]
    planes = tf.round(planes + _MIDDLE)
    rgb = tf.tensordot(planes, np.linalg.inv(_TO_YCC).astype(np.float32), [[3], [1]])
    return tf.clip_by_value(tf.round(rgb), 0.0, 255.0) / 255.0


@tf.function(jit_compile=True, reduce_retracing=True)
def blur(images: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Returns each image blurred by a Gaussian of its own sigma, cut off at 4 pixels.

    Images are mirrored at their borders.

    Args:
      images: float32 [b, h, w, c].
      sigma: float32 [b], in pixels, above 0.

    Returns:
      float32 [b, h, w, c].
    """
    offsets = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
    weights = tf.nn.softmax(-(offsets**2) / (2.0 * sigma[:, None] ** 2))[:, :, None, None, None]
    reach = [_REACH, _REACH]
    height, width = tf.unstack(tf.shape(images)[1:3])
    padded = tf.pad(images, [[0, 0], reach, [0, 0], [0, 0]], "REFLECT")
    images = tf.add_n([weights[:, i] * padded[:, i : i + height] for i in range(len(offsets))])
    padded = tf.pad(images, [[0, 0], [0, 0], reach, [0, 0]], "REFLECT")
    return tf.add_n([weights[:, i] * padded[:, :, i : i + width] for i in range(len(offsets))])


def random_blur_jpeg(images: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
    """Blurs each image with probability one half, then compresses it with probability one half.

    Args:
      images: float32 [b, h, w, 3].
      randoms: float32 [b, 2] in [0, 1), for blur and JPEG. Numbers below one half change nothing.
        Those from one half to 1 are mapped evenly to SIGMA and to QUALITY.

    Returns:
      float32 [b, h, w, 3].
    """
    low = randoms < 0.5
    part = tf.where(low, 0.0, 2.0 * randoms - 1.0)
    sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * part[:, 0]
    quality = QUALITY[0] + (QUALITY[1] - QUALITY[0]) * part[:, 1]
    images = tf.where(low[:, :1, None, None], images, blur(images, sigma))
    return tf.where(low[:, 1:, None, None], images, jpeg(images, quality))
