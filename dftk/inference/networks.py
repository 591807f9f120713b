"""The members of an ensemble on batches of decoded images, of one size or of many."""

import threading
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dftk.images import reading
from dftk.images.image_files import FileScore
from dftk.images.reading import Image, Packed
from dftk.inference import split_model
from dftk.runs.saved_models import Ensemble
from dftk.utils.errors import UserError
from dftk.utils.progress import Throughput

FORWARD_PIXELS = 2**24  # resized in one call at most: 50 MB as uint8, 200 MB as float32
_SMALL = 2**18  # pixels up to which an image travels as bytes; larger ones are resized at once
_HUGE = threading.Lock()  # images above FORWARD_PIXELS are decoded and resized one at a time


class Networks:
    """Detectors; an image of any size shares a batch with others if it is resized first."""

    def __init__(self, ensemble: Ensemble, speed: Throughput):
        self._members = [split_model.member(model) for model in ensemble.members]
        self._resize = all(member.resize for member in self._members)
        self._speed, self._idle_since = speed, 0.0

    def prepare(self, file: Packed) -> FileScore | Image | Packed:
        """Decodes; brings a large image to the sizes that the networks take, which needs less
        memory. For networks that take it as it is, it is decoded when its turn comes.
        """
        if file.size <= _SMALL:
            return reading.decode(file)
        if not self._resize:
            return file
        if file.size <= FORWARD_PIXELS:
            return self._shrink(file)
        with _HUGE:
            return self._shrink(file)

    def _shrink(self, file: Packed) -> FileScore | Image:
        image = reading.decode(file)
        if isinstance(image, FileScore) or image.pixels is None:
            return image
        try:
            with tf.device("CPU:0"):
                batch = image.pixels[None]
                return Image(file.path, None, [member.resize(batch)[0] for member in self._members])
        except reading.NO_MEMORY:
            return reading.no_memory(file)

    def score(self, items: Sequence[FileScore | Image | Packed]) -> list[FileScore]:
        """The scores of a batch, in its order; errors are handed through.

        Raises:
          UserError: out of memory.
        """
        group = [reading.decode(item) if isinstance(item, Packed) else item for item in items]
        images = [item for item in group if isinstance(item, Image)]
        if not images:
            return [item for item in group if isinstance(item, FileScore)]
        started = time.perf_counter()
        try:
            probabilities = self._probabilities(images)
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"out of memory with {len(images)} images in a batch; give a smaller --batch_size"
            ) from error
        self._count(len(images), started)
        scores = iter(zip(probabilities.mean(axis=0), probabilities.T))
        return [item if isinstance(item, FileScore) else _score(item, *next(scores))
                for item in group]  # fmt: skip

    def _count(self, images: int, started: float) -> None:
        """Waiting is the time from one batch's end to the next one's start."""
        ended = time.perf_counter()
        if not self._idle_since:
            self._speed.compile_seconds += ended - started  # the first batch traces
        else:
            waited = started - self._idle_since
            self._speed.add(Throughput(images, 1, ended - self._idle_since, waited))
        self._idle_since = ended

    def _probabilities(self, images: Sequence[Image]) -> np.ndarray:
        """float32 [members, images]."""
        result = np.empty([len(self._members), len(images)], np.float32)
        groups = [
            (places, tf.stack([images[place].pixels for place in places]))
            for places in _of_one_size(images)
        ]
        large = [place for place, image in enumerate(images) if image.pixels is None]
        for row, member in enumerate(self._members):
            parts = [
                (p, member.resize(pixels) if member.resize else pixels) for p, pixels in groups
            ]
            if large:
                parts.append((large, tf.stack([images[place].resized[row] for place in large])))
            if self._resize and len(parts) > 1:
                order = [place for places, _ in parts for place in places]
                parts = [(order, tf.concat([unit for _, unit in parts], 0))]
            for places, unit in parts:
                result[row, places] = member.network(unit).numpy()[:, 0]
        return result


def _score(image: Image, mean: np.floating, members: np.ndarray) -> FileScore:
    return FileScore(image.path, float(mean), members=tuple(map(float, members)))


def _of_one_size(images: Sequence[Image]) -> list[list[int]]:
    """Places of the images that still have their pixels, those of one size together."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        if image.pixels is not None:
            by_size.setdefault(tuple(image.pixels.shape), []).append(place)
    return list(by_size.values())
