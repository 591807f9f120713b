"""Bytes that strangers send: refused by what their header says, before anything is decoded."""

import dataclasses

import numpy as np
import tensorflow as tf

from dftk.images.reading import OUT_OF_MEMORY
from dftk.input import decoding
from dftk.utils.errors import UserError
from tfds_rvf10k.inspection import image_header

# A progressive JPEG may ask for any number of passes over its pixels in a few bytes each: minutes
# of work. Cameras and editors write about ten; libjpeg-turbo's own fuzzers stop at 500.
_MAX_SCANS = 100


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one upload may cost."""

    max_pixels: int = 2**24  # width x height, of all frames: 200 MB as float32
    max_bytes: int = 10 * 2**20
    max_files: int = 20  # of one drop on the page
    max_waiting: int = 32  # images, before the service says that it is busy


class Refused(UserError):
    """An upload that is not scored; its text says why in one sentence, `status` in HTTP's terms."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def read_image(data: bytes, limits: Limits) -> np.ndarray:
    """Decodes one image exactly as in training, if it is one and within the limits.

    Args:
      data: a whole file, of any content.
      limits: max_bytes and max_pixels are heeded.

    Returns:
      uint8 [h, w, 3].

    Raises:
      Refused: 413 too many bytes or pixels, or no memory for them, 415 another format, 422 empty or
        broken.
    """
    if not data:
        raise Refused(422, f"the file is empty; send a {decoding.FORMATS} image")
    if len(data) > limits.max_bytes:
        raise Refused(413, too_many_bytes(limits.max_bytes))
    _check_header(data, limits.max_pixels)
    try:
        return decoding.decode_image(data).numpy()
    except tf.errors.InvalidArgumentError:
        raise Refused(
            422, "the image is broken or cut short and cannot be decoded; save it again"
        ) from None
    except OUT_OF_MEMORY:
        raise Refused(413, "no memory to decode the image; send a smaller one") from None


def too_many_bytes(limit: int) -> str:
    """The sentence for a file or body above `limit` bytes."""
    return f"more than {limit / 2**20:.3g} MB, the most this server takes; send a smaller file"


def _check_header(data: bytes, max_pixels: int) -> None:
    try:
        pixels = image_header.pixels(data)
    except image_header.Unsupported as error:
        raise Refused(415, str(error)) from None
    except ValueError:
        raise Refused(
            415, f"not a {decoding.FORMATS} image, whatever its name says; send one"
        ) from None
    if pixels > max_pixels:
        text = f"{pixels:,} pixels, more than the {max_pixels:,} that this server takes"
        raise Refused(413, f"{text}; send a smaller image")
    # Inside compressed data the byte 0xFF is always followed by 0, so this counts scans only.
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > _MAX_SCANS:
        raise Refused(422, f"a JPEG of more than {_MAX_SCANS} scans; save it again")
