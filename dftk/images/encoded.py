"""Images as they are stored, read one after the other: records of a dataset, files of a folder."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf

from dftk.images import image_files, reading
from dftk.input import data_errors, decoding, pipeline
from dftk.input.shards import Shard
from dftk.utils import limits, threads
from dftk.utils.errors import UserError
from tfds_rvf10k.inspection import image_header

CLASSES = ("real", "fake")  # folders, in the order of the labels
_GROUP = 32  # images of one forward pass at most,
_PIXELS = 2**24  # and their pixels: 50 MB as uint8, 200 MB as float32
_AHEAD_BYTES = 2**28  # of images worked on ahead; one of reading.MAX_PIXELS has 3/4 of it

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Encoded:
    """One stored image and what is known of it."""

    filename: str
    label: int  # 0 real, 1 fake
    fold: int  # -1 where there are no folds
    data: bytes  # of the file, as it lies on disk
    error: str = ""  # in words, why there are no data


Images = Iterable[Encoded]


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A stored image with its pixels, or with the reason why there are none."""

    encoded: Encoded
    image: np.ndarray | None  # uint8 [h, w, 3]
    error: str = ""


def from_shards(shards: Sequence[Shard]) -> Iterator[Encoded]:
    """The records of the shards in their order, so that what is made of them has one too.

    Raises:
      UserError: names a shard that cannot be read.
    """
    with data_errors.translate_data_errors(shards, None):
        for shard in shards:
            read = 0
            records = tf.data.TFRecordDataset(shard.path).take(shard.length).batch(64)
            for batch in records.map(pipeline.parse).prefetch(2).as_numpy_iterator():
                columns = (batch[name] for name in ("filename", "label", "fold", "image"))
                for filename, label, fold, data in zip(*columns):
                    read += 1
                    yield Encoded(filename.decode(), int(label), int(fold), data)
            if read != shard.length:  # a cut at a record boundary is no error to TensorFlow
                raise data_errors.wrong_count(shard, read)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A directory of `real/` and `fake/`, each with image files at any depth."""

    path: Path
    files: tuple[tuple[Path, int], ...]  # with their labels, sorted by path
    ignored: dict[str, int]  # by suffix, files that are no images by their name

    def read(self) -> Iterator[Encoded]:
        """The files in their order; one that cannot be read says so in `error`."""
        cores = limits.cores()
        return threads.in_order(
            self._read, self.files, cores, 2 * cores, _stored_bytes, _AHEAD_BYTES
        )

    def _read(self, file: tuple[Path, int]) -> Encoded:
        path, label = file
        # Names on Linux are bytes; those that are no text stay apart, and can be written down.
        name = os.fsencode(path.relative_to(self.path)).decode("utf-8", "backslashreplace")
        content = reading.read(path, reading.MAX_PIXELS)
        if isinstance(content, reading.Packed):
            return Encoded(name, label, -1, content.data)
        return Encoded(name, label, -1, b"", content.error)


def find(path: Path) -> Folder:
    """Lists the image files of a test set, by the rules of image_files.

    Raises:
      UserError: no such directory, one below it that cannot be read, or neither `real/` nor
        `fake/` with an image in it.
    """
    if not path.is_dir():
        what = "not a directory" if path.exists() else "no such directory"
        raise UserError(f"test set {path}: {what}; give one with real/ and fake/ in it")
    files: list[tuple[Path, int]] = []
    ignored: Counter[str] = Counter()
    for label, name in enumerate(CLASSES):
        if (path / name).is_dir():
            files += [(file, label) for file in image_files.listed(path / name, ignored)]
    if not files:
        raise UserError(f"test set {path}: {_why_empty(path)}")
    return Folder(path, tuple(files), dict(sorted(ignored.items())))


def _why_empty(path: Path) -> str:
    if any((path / name).is_dir() for name in CLASSES):
        return f"no {', '.join(image_files.IMAGE_SUFFIXES)} file in its real/ and fake/"
    for name in CLASSES:
        found = [*path.glob(f"*/{name}"), *path.glob(f"*/*/{name}")]
        for below in sorted(found, key=lambda one: ("train" in one.parts, len(one.parts), one)):
            return f"no real/ or fake/ in it; {below.parent} has them: give that"
    return "no real/ or fake/ in it; sort the images into two folders of these names"


def in_threads(function: Callable[[Encoded], Result], images: Images) -> Iterator[Result]:
    """Results in the order of the images: of small ones a few ahead, of large ones fewer."""
    return threads.in_order(
        function, images, limits.cores(), 2 * limits.cores(), _decoded_bytes, _AHEAD_BYTES
    )


def _decoded_bytes(image: Encoded) -> int:
    try:
        return 3 * image_header.pixels(image.data)
    except ValueError:  # nor will it be decoded
        return 0


def _stored_bytes(file: tuple[Path, int]) -> int:
    try:
        return file[0].stat().st_size
    except OSError:
        return 0


def decode(encoded: Encoded) -> Decoded:
    """The pixels of a stored image, exactly as in training; never raises over its content."""
    if encoded.error:
        return Decoded(encoded, None, encoded.error)
    try:
        return Decoded(encoded, decoding.decode_image(encoded.data).numpy())
    except tf.errors.InvalidArgumentError:
        return Decoded(encoded, None, decoding.UNREADABLE)


def decoded(images: Images) -> Iterator[Decoded]:
    """Decodes in order, a few images ahead."""
    return in_threads(decode, images)


def groups(images: Iterable[Decoded]) -> Iterator[tuple[list[Encoded], np.ndarray]]:
    """Groups of images of one size for one forward pass, in bounded memory.

    Yields:
      the images and their pixels, uint8 [b, h, w, 3], in the order they came; those without pixels
      are left out.
    """
    window: dict[tuple[int, ...], list[tuple[Encoded, np.ndarray]]] = {}
    count = pixels = 0
    for item in images:
        if item.image is None:
            continue
        window.setdefault(item.image.shape, []).append((item.encoded, item.image))
        count, pixels = count + 1, pixels + item.image.size // 3
        if count == _GROUP or pixels >= _PIXELS:
            yield from map(_stacked, window.values())
            window, count, pixels = {}, 0, 0
    yield from map(_stacked, window.values())


def _stacked(
    group: Sequence[tuple[Encoded, np.ndarray]],
) -> tuple[list[Encoded], np.ndarray]:
    return [item for item, _ in group], np.stack([image for _, image in group])
