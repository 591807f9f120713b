"""What training changes of an image, or of its frozen features, by the image's own draws."""

import dataclasses

import tensorflow as tf

from dftk.config import Config
from dftk.models import preprocess


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The augmentation of a run; the draws of an image are float32 [batches.DRAWS] in [0, 1).

    Attributes:
      flip: swap left and right of one image in two.
      colour: shift brightness, contrast, saturation and hue too, see preprocess.augment.
      crop: train on a square of so many pixels, anywhere in the image; None for the whole image.
    """

    flip: bool
    colour: bool
    crop: int | None

    @classmethod
    def of(cls, config: Config) -> "Augmentation":
        """That of a config: augment, augment_colour, crop_size."""
        return cls(config.augment, config.augment and config.augment_colour, config.crop_size)

    def __call__(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """float32 [b, h, w, 3] in [0, 1] and draws [b, DRAWS] to [b, h or crop, w or crop, 3]."""
        if self.crop:  # first: the rest has less to do
            images = preprocess.crop(images, draws[:, preprocess.DRAWS :], self.crop)
        if self.colour:
            return preprocess.augment(images, draws[:, : preprocess.DRAWS])
        return preprocess.flip(images, draws[:, 0]) if self.flip else images

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
