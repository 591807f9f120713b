"""Encoded images with their labels, read from the records of a dataset or from a folder."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf

from dftk.images import image_files, reading
from dftk.images.image_files import UnreadableImage
from dftk.input import data_errors, decoding, pipeline
from dftk.input.shards import Shard
from dftk.utils import limits, threads
from dftk.utils.errors import UserError
from tfds_rvf10k.inspection import image_header

CLASSES = ("real", "fake")  # folders, in the order of the labels
_GROUP = 32  # images of one forward pass at most
_PIXELS = 2**24  # of one forward pass at most: 50 MB as uint8, 200 MB as float32
_AHEAD_BYTES = 2**28  # of images read ahead; one image of reading.MAX_PIXELS takes 3/4 of it

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Encoded:
    """One encoded image and its label."""

    filename: str
    label: int  # 0 real, 1 fake
    fold: int  # -1 where there are no folds
    data: bytes  # the image file
    error: str = ""  # why there are no data, in words


Images = Iterable[Encoded]


@dataclasses.dataclass(frozen=True)
class Decoded:
    """An encoded image with its pixels, or with the reason why there are none."""

    encoded: Encoded
    image: np.ndarray | None  # uint8 [h, w, 3]
    error: str = ""


def from_shards(shards: Sequence[Shard]) -> Iterator[Encoded]:
    """Reads the records of the shards in their order.

    Raises:
      UserError: a shard cannot be read; the message names it.
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
            if read != shard.length:  # TensorFlow accepts a file cut between two records
                raise data_errors.wrong_count(shard, read)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A test set: a directory with `real/` and `fake/`, each with image files at any depth."""

    path: Path
    files: tuple[tuple[Path, int], ...]  # paths and labels, sorted by path
    ignored: dict[str, int]  # by suffix, how many files are no images by their names

    def read(self) -> Iterator[Encoded]:
        """Reads the files in their order; `error` says why a file cannot be read."""
        cores = limits.cores()
        return threads.in_order(
            self._read, self.files, cores, 2 * cores, _stored_bytes, _AHEAD_BYTES
        )

    def _read(self, listed: tuple[Path, int]) -> Encoded:
        path, label = listed
        # File names on Linux are bytes. Names that are not UTF-8 stay different, and printable.
        name = os.fsencode(path.relative_to(self.path)).decode("utf-8", "backslashreplace")
        file = reading.read(path, reading.MAX_PIXELS)
        if isinstance(file, UnreadableImage):
            return Encoded(name, label, -1, b"", file.reason)
        return Encoded(name, label, -1, file.data)


def find(path: Path) -> Folder:
    """Lists the image files of a test set, as image_files.listed finds them.

    Raises:
      UserError: there is no such directory, a directory in it cannot be read, or neither `real/`
        nor `fake/` has an image in it.
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
    """Calls a function on a few images ahead, fewer if they are large; results keep their order."""
    return threads.in_order(
        function, images, limits.cores(), 2 * limits.cores(), _decoded_bytes, _AHEAD_BYTES
    )


def _decoded_bytes(image: Encoded) -> int:
    try:
        return 3 * image_header.pixels(image.data)
    except ValueError:  # it cannot be decoded either
        return 0


def _stored_bytes(file: tuple[Path, int]) -> int:
    try:
        return file[0].stat().st_size
    except OSError:
        return 0


def decode(encoded: Encoded) -> Decoded:
    """Decodes an image as training does; `error` says why a damaged one cannot be decoded."""
    if encoded.error:
        return Decoded(encoded, None, encoded.error)
    try:
        return Decoded(encoded, decoding.decode_image(encoded.data).numpy())
    except tf.errors.InvalidArgumentError:
        return Decoded(encoded, None, decoding.UNREADABLE)


def decoded(images: Images) -> Iterator[Decoded]:
    """Decodes images in their order, a few of them ahead."""
    return in_threads(decode, images)


def groups(images: Iterable[Decoded]) -> Iterator[tuple[list[Encoded], np.ndarray]]:
    """Groups images of one size for a forward pass, in bounded memory.

    Yields:
      the images of a group in their order, and their pixels, uint8 [b, h, w, 3]. Images without
      pixels are left out.
    """
    window: dict[tuple[int, ...], list[tuple[Encoded, np.ndarray]]] = {}
    count = pixels = 0
    for item in images:
        if item.image is None:
            continue
        window.setdefault(item.image.shape, []).append((item.encoded, item.image))
        count, pixels = count + 1, pixels + item.image.size // 3
        if count == _GROUP or pixels >= _PIXELS:
            yield from map(_stack, window.values())
            window, count, pixels = {}, 0, 0
    yield from map(_stack, window.values())


def _stack(
    group: Sequence[tuple[Encoded, np.ndarray]],
) -> tuple[list[Encoded], np.ndarray]:
    return [item for item, _ in group], np.stack([image for _, image in group])
