"""Reads and decodes one image file. Limits on memory are checked before anything is decoded."""

import dataclasses
import os
import stat
from pathlib import Path

import tensorflow as tf

from dftk.images.image_files import UnreadableImage
from dftk.input import decoding
from tfds_rvf10k.inspection import image_header

OUT_OF_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)
MAX_PIXELS = 2**26  # 67 megapixels: more than a camera has; 200 MB decoded, 800 MB as float32


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file that was read, and whose header is sound; it is not decoded yet."""

    path: Path
    num_pixels: int  # by its header
    data: bytes


def read(path: Path, max_pixels: int) -> ImageFile | UnreadableImage:
    """Reads a file and checks its header.

    Args:
      path: of a JPEG, PNG, GIF or BMP file.
      max_pixels: more, by the header, are refused.

    Returns:
      the file; or why it cannot be decoded.
    """
    try:
        data = _read_bytes(path, max_pixels)
    except OSError as error:
        return UnreadableImage(path, error.strerror or str(error))
    if not data:
        return UnreadableImage(path, "empty file")
    try:
        num_pixels = image_header.pixels(data)
    except image_header.Unsupported as error:
        return UnreadableImage(path, str(error))
    except ValueError:
        return UnreadableImage(path, decoding.UNREADABLE)
    if num_pixels > max_pixels:
        return UnreadableImage(
            path, f"{num_pixels:,} pixels by its header, more than the {max_pixels:,} allowed"
        )
    return ImageFile(path, num_pixels, data)


def decode(file: ImageFile) -> tf.Tensor | UnreadableImage:
    """Decodes a file as training does.

    Returns:
      uint8 [h, w, 3]; or why there are no pixels: the file is damaged, or needs too much memory.
    """
    try:
        return decoding.decode_image(file.data)
    except tf.errors.InvalidArgumentError:
        return UnreadableImage(file.path, decoding.UNREADABLE)
    except OUT_OF_MEMORY:
        return out_of_memory(file)


def out_of_memory(file: ImageFile) -> UnreadableImage:
    """The error for a file whose pixels do not fit into memory."""
    return UnreadableImage(
        file.path, f"no memory to decode its {file.num_pixels:,} pixels; score a smaller copy of it"
    )


def _read_bytes(path: Path, max_pixels: int) -> bytes:
    """Reads a regular file; opening a pipe would hang, and a device need not end.

    Raises:
      OSError: not readable, not a regular file, or far more bytes than `max_pixels` can have,
        which is two bytes for each of four channels.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_size > 8 * max_pixels + 2**20:
            raise OSError(0, f"{status.st_size:,} bytes, too many for {max_pixels:,} pixels")
        return file.read()
