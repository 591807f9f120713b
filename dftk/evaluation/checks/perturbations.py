"""Perturbations that images undergo in use: recompression, scaling, blur, noise, cropping.

Each maps images uint8 [b, h, w, 3] to images of the same shape, except that `crop` makes them
smaller. Values are rounded. Random numbers depend on a seed for each image, not on the batch.
"""

import dataclasses
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from dftk.input import decoding

Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # images, seeds int32 [b, 2] -> images
_TRUNCATE = 4.0  # standard deviations at which the Gaussian kernel ends, as in SciPy


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """A kind of change to images, and its levels, from mild to strong."""

    title: str
    unit: str  # of the levels
    change: Callable[[tf.Tensor, tf.Tensor, float], tf.Tensor]
    levels: tuple[float, ...]

    def at(self, level: float) -> Change:
        """The change at one level, as a graph for images of all sizes."""
        signature = (
            tf.TensorSpec([None, None, None, 3], tf.uint8),
            tf.TensorSpec([None, 2], tf.int32),
        )
        return tf.function(
            lambda images, seeds: self.change(images, seeds, level), input_signature=signature
        )


def seeds_of(filenames: Sequence[str], seed: int) -> np.ndarray:
    """A seed for each image, int32 [b, 2], which depends on the image's name."""
    return np.array([[seed, zlib.crc32(name.encode()) >> 1] for name in filenames], np.int32)


def jpeg(images: tf.Tensor, _: tf.Tensor, quality: float) -> tf.Tensor:
    """Encodes as baseline JPEG with chroma subsampling 4:2:0, and decodes as in training."""

    def recompress(image: tf.Tensor) -> tf.Tensor:
        return decoding.decode_image(tf.io.encode_jpeg(image, quality=int(quality)))

    return tf.map_fn(recompress, images, parallel_iterations=8)


def rescale(images: tf.Tensor, _: tf.Tensor, scale: float) -> tf.Tensor:
    """Shrinks both sides by `scale`, with an antialiasing triangle filter, and enlarges again."""
    size = tf.shape(images)[1:3]
    small = tf.maximum(tf.cast(tf.round(tf.cast(size, tf.float32) * scale), tf.int32), 1)
    shrunk = tf.round(tf.image.resize(images, small, "bilinear", antialias=True))
    return _levels(tf.image.resize(shrunk, size, "bilinear"))


def blur(images: tf.Tensor, _: tf.Tensor, sigma: float) -> tf.Tensor:
    """Gaussian blur; `sigma` in pixels. The edges are mirrored."""
    result = tf.cast(images, tf.float32)
    for axis in (1, 2):
        # Mirroring provides no more pixels than the image has.
        radius = tf.minimum(int(_TRUNCATE * sigma + 0.5), tf.shape(images)[axis])
        offsets = tf.cast(tf.range(-radius, radius + 1), tf.float32)
        kernel = tf.exp(-0.5 * (offsets / sigma) ** 2)
        kernel = kernel / tf.reduce_sum(kernel)
        padding = [[radius * int(a == axis)] * 2 for a in range(4)]
        padded = tf.pad(result, padding, "SYMMETRIC")
        shape = [-1, 1, 1, 1] if axis == 1 else [1, -1, 1, 1]
        kernel = tf.tile(tf.reshape(kernel, shape), [1, 1, 3, 1])
        result = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    return _levels(result)


def noise(images: tf.Tensor, seeds: tf.Tensor, sigma: float) -> tf.Tensor:
    """Adds independent Gaussian noise to every value and clips; `sigma` in levels of 255."""

    def noisy(image_and_seed: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, seed = image_and_seed
        normal = tf.random.stateless_normal(tf.shape(image), seed)
        return _levels(tf.cast(image, tf.float32) + sigma * normal)

    return tf.map_fn(noisy, (images, seeds), fn_output_signature=tf.uint8, parallel_iterations=8)


def crop(images: tf.Tensor, seeds: tf.Tensor, scale: float) -> tf.Tensor:
    """Cuts out a window at a random position; its sides are those of the image times `scale`."""
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    window = tf.maximum(tf.cast(tf.round(size * scale), tf.int32), 1)
    last_corner = tf.shape(images)[1:3] - window

    def cut(image_and_seed: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, seed = image_and_seed
        uniform = tf.random.stateless_uniform([2], seed)
        corner = tf.cast(uniform * tf.cast(last_corner + 1, tf.float32), tf.int32)
        corner = tf.minimum(corner, last_corner)  # rounding may exceed it by one
        return tf.slice(image, tf.concat([corner, [0]], 0), tf.concat([window, [3]], 0))

    return tf.map_fn(cut, (images, seeds), fn_output_signature=tf.uint8, parallel_iterations=8)


def _levels(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(values), 0, 255), tf.uint8)


ALL: dict[str, Perturbation] = {
    "jpeg": Perturbation("JPEG recompression", "quality", jpeg, (90, 75, 50, 30, 10)),
    "rescale": Perturbation("down- and upscaling", "scale", rescale, (0.75, 0.5, 0.35, 0.25)),
    "blur": Perturbation("Gaussian blur", "sigma, pixels", blur, (0.5, 1, 2, 4)),
    "noise": Perturbation("Gaussian noise", "sigma, levels of 255", noise, (4, 8, 16, 32)),
    "crop": Perturbation("random crop", "scale", crop, (0.9, 0.75, 0.6, 0.45)),
}  # fmt: skip
