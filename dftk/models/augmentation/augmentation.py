"""The augmentation of a run: of an image, or of its frozen features."""

import dataclasses

import tensorflow as tf

from dftk.models.augmentation import compression, transforms
from dftk.models.config import AugmentConfig


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The augmentation of a run; see dftk.input.batches.NUM_AUGMENT_RANDOMS for its numbers.

    Attributes:
      flip: swap left and right of one image in two.
      colour: shift brightness, contrast, saturation and hue too, see transforms.flip_and_jitter.
      crop: train on a square of so many pixels, anywhere in the image; None for the whole image.
      compression: blur some images, and take some through JPEG; see `compression`.
    """

    flip: bool
    colour: bool
    crop: int | None
    compression: bool = False

    @classmethod
    def of(cls, config: AugmentConfig) -> "Augmentation":
        """Returns the augmentation that a config describes."""
        on = config.enabled
        return cls(on, on and config.colour, config.crop_size or None, on and config.compression)

    def __call__(self, images: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
        """Returns augmented images.

        Args:
          images: float32 [b, h, w, 3] in [0, 1].
          randoms: float32 [b, NUM_AUGMENT_RANDOMS] in [0, 1).

        Returns:
          float32 [b, h or crop, w or crop, 3].
        """
        if self.crop:  # first: the rest has less to do
            images = transforms.crop(images, randoms[:, 5:7], self.crop)
        if self.colour:
            images = transforms.flip_and_jitter(images, randoms[:, : transforms.NUM_RANDOMS])
        elif self.flip:
            images = transforms.flip(images, randoms[:, 0])
        if self.compression:  # last: a file is made of what was seen
            images = compression.random_blur_jpeg(images, randoms[:, 7:9])
        return images

    def choose_view(self, features: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
        """Returns features of the image or, in one case of two if `flip`, of the flipped image.

        Args:
          features: float32 [b, 1 or 2, width], of the image and of the flipped image.
          randoms: float32 [b, NUM_AUGMENT_RANDOMS].

        Returns:
          float32 [b, width].
        """
        if not self.flip:
            return features[:, 0]
        return tf.where(randoms[:, :1] < 0.5, features[:, 1], features[:, 0])
