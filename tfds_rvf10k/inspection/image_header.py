"""The number of pixels that the header of an image file declares. Nothing is decoded.

A file of a few kilobytes can decode to gigabytes. To read its header takes microseconds.
"""

import struct
from collections.abc import Iterator

_PNG, _GIF, _BMP = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a"), b"BM"


class Unsupported(ValueError):
    """A sound file that TensorFlow would decode to another picture. The text names a remedy."""


def pixels(data: bytes) -> int:
    """The number of pixels that decoding keeps in memory.

    For a GIF it is the largest of three numbers. The first is the pixels of its screen. The second
    is the pixels of all frames, whose colour indices are all unpacked. The third is the width of
    the widest frame times the height of the highest one, which is the size that TensorFlow gives
    the image: frames of 6000 x 1 and 1 x 6000 take 108 MB, like one of 6000 x 6000 (measured).

    Args:
      data: a complete JPEG, PNG, GIF or BMP file.

    Raises:
      ValueError: it is none of these, or its header is truncated or wrong.
      Unsupported: it is a BMP with a palette, or with 16 bits per pixel.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith(_PNG):
            width, height = struct.unpack_from(">II", data, 16)
            return width * height
        if data.startswith(_BMP):
            return _bmp(data)
        if data.startswith(_GIF):
            return _gif(data)
    except (struct.error, IndexError) as error:
        raise ValueError("its header is truncated or wrong") from error
    raise ValueError("not a JPEG, PNG, GIF or BMP file")


def _jpeg(data: bytes) -> int:
    """The pixels of the first frame header.

    tf.io.extract_jpeg_shape is not used: it prints lines of its own for a damaged file.
    """
    for marker, at in segments(data):
        if is_frame(marker):
            height, width = struct.unpack_from(">HH", data, at + 3)
            return height * width
    raise ValueError("no frame header")


def segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Yields the segments before the first scan (ITU-T T.81, annex B).

    Args:
      jpeg: a complete JPEG file.

    Yields:
      (marker, position of the first byte of the segment's length).

    Raises:
      ValueError, IndexError, struct.error: the file is truncated, or no JPEG.
    """
    at = 2
    while True:
        at = jpeg.index(0xFF, at) + 1  # decoders skip bytes between segments
        marker = jpeg[at]
        if marker not in (0x00, 0x01, 0xFF) and not 0xD0 <= marker <= 0xD9:  # these have no length
            yield marker, at + 1
            if marker == 0xDA:
                return
            at += 1 + struct.unpack_from(">H", jpeg, at + 1)[0]


def is_frame(marker: int) -> bool:
    """Whether a segment has the size of the picture and the number of its components."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def _bmp(data: bytes) -> int:
    """The pixels of a BMP in true colour.

    TensorFlow takes the palette indices of a BMP with 8 bits per pixel for shades of grey.
    """
    width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    if bits < 24:
        raise Unsupported(f"a BMP of {bits} bits per pixel, not of 24 or 32; save it as PNG")
    return abs(width * height)


def _gif(data: bytes) -> int:
    width, height = struct.unpack_from("<HH", data, 6)
    widest = highest = together = 0
    for across, down in _frames(data):
        widest, highest = max(widest, across), max(highest, down)
        together += across * down
    return max(width * height, widest * highest, together)


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the width and height of each frame of a GIF (GIF89a specification, sections 18 to 27).

    TensorFlow unpacks all frames, even if it is asked for the first one only.
    """
    at = 13 + _colour_table_bytes(data[10])
    while at < len(data):
        if data[at] == 0x2C:  # an image: its descriptor, its colour table, the size of its codes
            width, height = struct.unpack_from("<HH", data, at + 5)
            yield width, height
            at += 11 + _colour_table_bytes(data[at + 9])
        elif data[at] == 0x21:  # an extension
            at += 2
        else:  # the trailer, or bytes that no decoder reads
            return
        while data[at]:  # each block follows its length; a length of 0 ends them
            at += 1 + data[at]
        at += 1


def _colour_table_bytes(flags: int) -> int:
    """The size of the colour table that these flags declare."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
