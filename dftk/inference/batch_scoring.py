"""Scores batches of image files with the models of an ensemble; the images may differ in size."""

import dataclasses
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.images import reading
from dftk.images.image_files import UnreadableImage
from dftk.images.reading import ImageFile
from dftk.inference import split_model
from dftk.runs.saved_models import Ensemble
from dftk.utils.errors import UserError
from dftk.utils.progress import Throughput

FORWARD_PIXELS = 2**24  # resized in one call at most: 50 MB as uint8, 200 MB as float32
_SMALL_PIXELS = 2**18  # larger images are resized one by one, as soon as they are decoded
_HUGE_IMAGE = threading.Lock()  # images above FORWARD_PIXELS are decoded and resized one at a time


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What an ensemble says of one image file."""

    path: Path
    probability: float  # of fake: the mean over the members
    members: tuple[float, ...]  # each model's probability of fake


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """A decoded image, not yet resized; images of one size are resized together."""

    path: Path
    pixels: tf.Tensor  # uint8 [h, w, 3]


@dataclasses.dataclass(frozen=True)
class ResizedImage:
    """A large image, as each model of the ensemble takes it."""

    path: Path
    inputs: Sequence[tf.Tensor]  # of each model, float32 [s, s, 3]


# A large file for models that do not resize stays encoded until its batch is scored.
Prepared = DecodedImage | ResizedImage | ImageFile


class BatchScorer:
    """Scores batches. Images of any size share one, where the models resize their input."""

    def __init__(self, ensemble: Ensemble, speed: Throughput):
        self._members = [split_model.split(model) for model in ensemble.members]
        self._all_resize = all(member.resize for member in self._members)
        self._speed, self._idle_since = speed, 0.0

    def prepare(self, file: ImageFile) -> Prepared | UnreadableImage:
        """Decodes a file, and resizes a large image at once, which then needs less memory.

        A large image for models that do not resize is decoded later, with its batch.
        """
        if file.num_pixels <= _SMALL_PIXELS:
            return _decode(file)
        if not self._all_resize:
            return file
        if file.num_pixels <= FORWARD_PIXELS:
            return self._resize(file)
        with _HUGE_IMAGE:
            return self._resize(file)

    def _resize(self, file: ImageFile) -> ResizedImage | UnreadableImage:
        pixels = reading.decode(file)
        if isinstance(pixels, UnreadableImage):
            return pixels
        try:
            with tf.device("CPU:0"):
                batch = pixels[None]
                return ResizedImage(file.path, [m.resize(batch)[0] for m in self._members])
        except reading.OUT_OF_MEMORY:
            return reading.out_of_memory(file)

    def score(
        self, items: Sequence[Prepared | UnreadableImage]
    ) -> list[Prediction | UnreadableImage]:
        """Scores a batch.

        Returns:
          one result for each item, in their order; unreadable images are passed through.

        Raises:
          UserError: out of memory.
        """
        decoded = [_decode(item) if isinstance(item, ImageFile) else item for item in items]
        images = [item for item in decoded if not isinstance(item, UnreadableImage)]
        predictions = iter(self._predict(images) if images else [])
        return [
            item if isinstance(item, UnreadableImage) else next(predictions) for item in decoded
        ]

    def _predict(self, images: Sequence[DecodedImage | ResizedImage]) -> list[Prediction]:
        started = time.perf_counter()
        try:
            probabilities = self._probabilities(images)
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"out of memory with {len(images)} images in a batch; give a smaller --batch_size"
            ) from error
        self._count(len(images), started)
        return [
            Prediction(image.path, float(mean), tuple(map(float, members)))
            for image, mean, members in zip(images, probabilities.mean(axis=0), probabilities.T)
        ]

    def _count(self, images: int, started: float) -> None:
        """Adds a batch to the throughput; the time since the last batch ended was waiting."""
        ended = time.perf_counter()
        if not self._idle_since:
            self._speed.compile_seconds += ended - started  # the first batch traces
        else:
            waited = started - self._idle_since
            self._speed.add(Throughput(images, 1, ended - self._idle_since, waited))
        self._idle_since = ended

    def _probabilities(self, images: Sequence[DecodedImage | ResizedImage]) -> np.ndarray:
        """Returns each model's probabilities of fake, float32 [members, images]."""
        result = np.empty([len(self._members), len(images)], np.float32)
        by_size: dict[tuple[int, ...], list[tuple[int, tf.Tensor]]] = {}
        resized: list[tuple[int, Sequence[tf.Tensor]]] = []
        for index, image in enumerate(images):
            if isinstance(image, ResizedImage):
                resized.append((index, image.inputs))
            else:
                by_size.setdefault(tuple(image.pixels.shape), []).append((index, image.pixels))
        stacked = [
            ([index for index, _ in group], tf.stack([pixels for _, pixels in group]))
            for group in by_size.values()
        ]
        for row, member in enumerate(self._members):
            groups = [
                (indices, member.resize(pixels) if member.resize else pixels)
                for indices, pixels in stacked
            ]
            if resized:
                inputs = tf.stack([inputs[row] for _, inputs in resized])
                groups.append(([index for index, _ in resized], inputs))
            if self._all_resize and len(groups) > 1:  # they are of one size now
                order = [index for indices, _ in groups for index in indices]
                groups = [(order, tf.concat([inputs for _, inputs in groups], 0))]
            for indices, inputs in groups:
                result[row, indices] = member.classify(inputs).numpy()[:, 0]
        return result


def _decode(file: ImageFile) -> DecodedImage | UnreadableImage:
    pixels = reading.decode(file)
    return pixels if isinstance(pixels, UnreadableImage) else DecodedImage(file.path, pixels)
