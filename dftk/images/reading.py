"""One image file -> its pixels, within limits of memory that hold before anything is decoded."""

import dataclasses
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from dftk.images.image_files import FileScore
from dftk.input import decoding
from tfds_rvf10k.inspection import image_header

NO_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)
MAX_PIXELS = 2**26  # 67 megapixels: more than a camera's; 200 MB decoded, 800 MB as float32


@dataclasses.dataclass(frozen=True)
class Packed:
    """A file that was read, and whose header is sound."""

    path: Path
    size: int  # pixels by its header
    data: bytes


@dataclasses.dataclass(frozen=True)
class Image:
    """A decoded file: its pixels, or what each network takes of a large one."""

    path: Path
    pixels: tf.Tensor | None  # uint8 [h, w, 3]
    resized: Sequence[tf.Tensor] = ()  # of each network float32 [s, s, 3]


def read(path: Path, max_pixels: int) -> Packed | FileScore:
    """Reads a file; a FileScore says why it cannot be decoded."""
    try:
        data = _read(path, max_pixels)
    except OSError as error:
        return FileScore(path, error=error.strerror or str(error))
    try:
        size = image_header.pixels(data)
    except image_header.Unsupported as error:
        return FileScore(path, error=str(error))
    except ValueError:
        return _unreadable(path, data)
    if size > max_pixels:
        what = f"{size:,} pixels by its header, more than the {max_pixels:,} allowed"
        return FileScore(path, error=what)
    return Packed(path, size, data)


def decode(file: Packed) -> Image | FileScore:
    """Decodes it, a JPEG exactly as in training; without the memory for it, that is its error."""
    try:
        return Image(file.path, decoding.decode_image(file.data))
    except tf.errors.InvalidArgumentError:
        return _unreadable(file.path, file.data)
    except NO_MEMORY:
        return no_memory(file)


def no_memory(file: Packed) -> FileScore:
    """The error of a file after one of NO_MEMORY."""
    what = f"no memory to decode its {file.size:,} pixels; score a smaller copy of it"
    return FileScore(file.path, error=what)


def _unreadable(path: Path, data: bytes) -> FileScore:
    what = decoding.UNREADABLE if data else "empty file"
    return FileScore(path, error=what)


def _read(path: Path, max_pixels: int) -> bytes:
    """The bytes of a file.

    Raises:
      OSError: not readable, no file (a pipe would hang, a device need not end), or far more bytes
        than so many pixels can have: two for each of four channels.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_size > 8 * max_pixels + 2**20:
            raise OSError(0, f"{status.st_size:,} bytes, too many for {max_pixels:,} pixels")
        return file.read()
