"""What training changes of an image, or of its frozen features, by the image's own draws."""

import dataclasses

import tensorflow as tf

from dftk.models import preprocess
from dftk.models.augmentation import compression
from dftk.training.config import Config


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The augmentation of a run; the draws of an image are float32 [batches.DRAWS] in [0, 1).

    Attributes:
      flip: swap left and right of one image in two.
      colour: shift brightness, contrast, saturation and hue too, see preprocess.augment.
      crop: train on a square of so many pixels, anywhere in the image; None for the whole image.
      compression: blur some images, and take some through JPEG; see `compression`.
    """

    flip: bool
    colour: bool
    crop: int | None
    compression: bool = False

    @classmethod
    def of(cls, config: Config) -> "Augmentation":
        """That of a config: augment, augment_colour, augment_compression, crop_size."""
        colour, travelled = config.augment_colour, config.augment_compression
        on = config.augment
        return cls(on, on and colour, config.crop_size or None, on and travelled)

    def __call__(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """float32 [b, h, w, 3] in [0, 1] and draws [b, DRAWS] to [b, h or crop, w or crop, 3]."""
        if self.crop:  # first: the rest has less to do
            images = preprocess.crop(images, draws[:, 5:7], self.crop)
        if self.colour:
            images = preprocess.augment(images, draws[:, : preprocess.DRAWS])
        elif self.flip:
            images = preprocess.flip(images, draws[:, 0])
        if self.compression:  # last: a file is made of what was seen
            images = compression.travelled(images, draws[:, 7:9])
        return images

    def view(self, features: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Features of an image and, where `flip`, of its mirror image: the one that is drawn.

        Args:
          features: float32 [b, 1 or 2, width].
          draws: float32 [b, DRAWS].

        Returns:
          float32 [b, width].
        """
        if not self.flip:
            return features[:, 0]
        return tf.where(draws[:, :1] < 0.5, features[:, 1], features[:, 0])
