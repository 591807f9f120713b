"""Checks and decodes uploaded files. The header is checked before anything is decoded."""

import dataclasses

import tensorflow as tf

from dftk.images.reading import OUT_OF_MEMORY
from dftk.input import decoding
from tfds_rvf10k.inspection import image_header

# A progressive JPEG may ask for any number of passes over its pixels in a few bytes each, which
# takes minutes. Cameras and editors write about ten; libjpeg-turbo's own fuzzers stop at 500.
_MAX_SCANS = 100


@dataclasses.dataclass(frozen=True)
class UploadLimits:
    """What one upload may cost."""

    max_pixels: int = 2**24  # width x height, of all frames: 200 MB as float32
    max_bytes: int = 10 * 2**20
    max_files: int = 20  # that the page sends at once
    max_waiting: int = 32  # images, before the service says that it is busy


class UploadError(Exception):
    """An upload that is not scored.

    Attributes:
      status: of HTTP.
      message: why, in one sentence.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


def decode(data: bytes, limits: UploadLimits) -> tf.Tensor:
    """Decodes one uploaded image as training does, if it is within the limits.

    Args:
      data: the file, of any content.
      limits: of bytes and pixels.

    Returns:
      uint8 [h, w, 3].

    Raises:
      UploadError: status 413 for too many bytes or pixels, or no memory for them; 415 for another
        format; 422 for an empty or damaged file.
    """
    if not data:
        raise UploadError(422, f"the file is empty; send a {decoding.FORMATS} image")
    if len(data) > limits.max_bytes:
        raise UploadError(413, too_many_bytes(limits.max_bytes))
    _check_header(data, limits.max_pixels)
    try:
        return decoding.decode_image(data)
    except tf.errors.InvalidArgumentError:
        raise UploadError(
            422, "the image is broken or cut short and cannot be decoded; save it again"
        ) from None
    except OUT_OF_MEMORY:
        raise UploadError(413, "no memory to decode the image; send a smaller one") from None


def too_many_bytes(limit: int) -> str:
    """The sentence for a file or a request body above `limit` bytes."""
    return f"more than {limit / 2**20:.3g} MB, the most this server takes; send a smaller file"


def _check_header(data: bytes, max_pixels: int) -> None:
    try:
        pixels = image_header.pixels(data)
    except image_header.Unsupported as error:
        raise UploadError(415, str(error)) from None
    except ValueError:
        raise UploadError(
            415, f"not a {decoding.FORMATS} image, whatever its name says; send one"
        ) from None
    if pixels > max_pixels:
        raise UploadError(
            413,
            f"{pixels:,} pixels, more than the {max_pixels:,} that this server takes; send a "
            "smaller image",
        )
    # In compressed data a byte of 0xFF is always followed by 0, so this counts scans only.
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > _MAX_SCANS:
        raise UploadError(422, f"a JPEG of more than {_MAX_SCANS} scans; save it again")
