"""How many pixels an image file says it holds, before anything is decoded.

A few kilobytes can decode to gigabytes; a header costs microseconds.
"""

import struct
from collections.abc import Iterator

_PNG, _GIF, _BMP = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a"), b"BM"


class Unsupported(ValueError):
    """A sound file that would be decoded to another picture; the text says what to do."""


def pixels(data: bytes) -> int:
    """Pixels that decoding has to hold.

    Of a GIF the most of three: its screen; its frames together, whose colour indices are all
    unpacked; and the widest frame's width times the highest one's height, which is the size that
    TensorFlow gives the image (measured: frames of 6000 x 1 and 1 x 6000 take 108 MB, as one of
    6000 x 6000 does).

    Args:
      data: a whole JPEG, PNG, GIF or BMP file.

    Raises:
      ValueError: none of these, or its header is cut or wrong.
      Unsupported: a BMP with a palette, or 16 bits per pixel.
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
        raise ValueError("its header is cut or wrong") from error
    raise ValueError("not a JPEG, PNG, GIF or BMP file")


def _jpeg(data: bytes) -> int:
    """Pixels of the first frame header.

    Not tf.io.extract_jpeg_shape: of a damaged file it prints lines of its own.
    """
    for marker, at in segments(data):
        if is_frame(marker):
            height, width = struct.unpack_from(">HH", data, at + 3)
            return height * width
    raise ValueError("no frame header")


def segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place, that of the length's first byte, of each segment before the first scan.

    Source: ITU-T T.81, annex B.

    Raises:
      ValueError, IndexError, struct.error: cut, or no JPEG.
    """
    at = 2
    while True:
        at = jpeg.index(0xFF, at) + 1  # decoders skip what lies between segments
        marker = jpeg[at]
        if marker not in (0x00, 0x01, 0xFF) and not 0xD0 <= marker <= 0xD9:  # these have no length
            yield marker, at + 1
            if marker == 0xDA:
                return
            at += 1 + struct.unpack_from(">H", jpeg, at + 1)[0]


def is_frame(marker: int) -> bool:
    """Whether a segment says how large the picture is and of how many components it is made."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def _bmp(data: bytes) -> int:
    """Pixels of a BMP in true colour.

    Of 8 bits per pixel TensorFlow takes the places in the palette for shades of grey.
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
    """Width and height of each frame of a GIF (GIF89a specification, sections 18 to 27).

    TensorFlow unpacks all of them, though only the first one is asked for.
    """
    at = 13 + _table(data[10])
    while at < len(data):
        if data[at] == 0x2C:  # an image: its descriptor, its colours, the size of its codes
            width, height = struct.unpack_from("<HH", data, at + 5)
            yield width, height
            at += 11 + _table(data[at + 9])
        elif data[at] == 0x21:  # an extension
            at += 2
        else:  # the trailer, or what no decoder reads
            return
        while data[at]:  # blocks, each after its length; one of length 0 ends them
            at += 1 + data[at]
        at += 1


def _table(flags: int) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
