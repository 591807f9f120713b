"""Image files drawn on the spot, sound and broken ones."""

import io
import zlib

import numpy as np
from PIL import Image


def picture(seed=0, size=(40, 32)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def bomb():
    """A PNG of 20,000 x 20,000 by its header, in a few bytes."""
    header = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    crc = zlib.crc32(header).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + crc


JPEG = encoded(picture())


BAD = {
    "empty.jpg": (b"", "an empty file"),
    "text.jpg": (b"no image at all", "neither a JPEG nor a PNG by its contents"),
    "header.jpg": (JPEG[:100], "its header is truncated or wrong"),
    "cut.jpg": (JPEG[:-30], "truncated or damaged, cannot be decoded"),
    "no_end.jpg": (JPEG[:-2], "truncated or damaged, cannot be decoded"),
    "png.jpg": (encoded(picture(), "PNG"), "a PNG by its contents"),
    "jpeg.png": (JPEG, "a JPEG by its contents"),
    "gif.jpg": (encoded(picture(), "GIF"), "a GIF by its contents"),
    "grey.jpg": (encoded(picture().convert("L")), "grayscale, not RGB"),
    "cmyk.jpg": (encoded(picture().convert("CMYK")), "CMYK, not RGB"),
    "grey.png": (encoded(picture().convert("L"), "PNG"), "grayscale, not RGB"),
    "palette.png": (encoded(picture().convert("P"), "PNG"), "of a palette, not RGB"),
    "alpha.png": (encoded(picture().convert("RGBA"), "PNG"), "with an alpha channel, not RGB"),
    "turned.jpg": (encoded(picture(), **turned(6)), "turned by its EXIF orientation (6)"),
    "turned.png": (encoded(picture(), "PNG", **turned(3)), "turned by its EXIF orientation (3)"),
    "bomb.png": (bomb(), "400,000,000 pixels by its header"),
    "cut.png": (encoded(picture(), "PNG")[:-40], "truncated or damaged, cannot be decoded"),
    "tiny.jpg": (encoded(picture(size=(40, 32)).resize((40, 4))), "40x4 pixels, a side below 8"),
}
