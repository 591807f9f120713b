"""Features of a file that do not depend on the face: size, JPEG settings, metadata, colour."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from dftk.images.encoded import Decoded

_TABLE_SIZE = 64  # coefficients of a quantisation table
_FORMATS = ("JPEG", "PNG", "GIF", "BMP")
_APP_MARKERS = 16  # APP0 to APP15

Features = dict[str, dict[str, float]]  # by group, by name


def features(decoded: Decoded) -> Features:
    """Features by which the classes could be told apart, in groups with one cause each.

    Args:
      decoded: a stored image with pixels.

    Returns:
      by group: "file size" (bytes, bytes per pixel), "dimensions" (pixels), "JPEG quantisation"
      (both tables; 0 if missing), "encoding" (format, progressive, chroma subsampling, channels),
      "metadata" (EXIF, ICC, comments, application segments: their bytes, and whether they are
      present), "mean colour" and "contrast" (mean and standard deviation of each channel, levels of
      255).
    """
    data = decoded.encoded.data
    pixels = np.asarray(decoded.image)
    height, width = pixels.shape[:2]
    with Image.open(io.BytesIO(data)) as image:  # reads the header only
        return {
            "file size": {"bytes": len(data), "bytes per pixel": len(data) / (height * width)},
            "dimensions": {"width": width, "height": height, "ratio": width / height},
            "JPEG quantisation": _quantisation(image),
            "encoding": _encoding(image),
            "metadata": _metadata(image),
            "mean colour": _channels(pixels.mean(axis=(0, 1))),
            "contrast": _channels(pixels.std(axis=(0, 1))),
        }


def _channels(values: np.ndarray) -> dict[str, float]:
    return dict(zip(("red", "green", "blue"), map(float, values)))


def _quantisation(image: Image.Image) -> dict[str, float]:
    tables: Mapping[int, list[int]] = getattr(image, "quantization", None) or {}
    result: dict[str, float] = {"tables": len(tables)}
    for number in (0, 1):
        table = tables.get(number, [0] * _TABLE_SIZE)
        result |= {f"table {number} at {i}": float(value) for i, value in enumerate(table)}
    return result


def _encoding(image: Image.Image) -> dict[str, float]:
    is_jpeg = image.format == "JPEG"
    return {
        **{name: float(image.format == name) for name in _FORMATS},
        "channels": len(image.getbands()),
        "progressive": float(bool(image.info.get("progressive"))),
        "subsampling": float(JpegImagePlugin.get_sampling(image)) if is_jpeg else -1.0,
    }


def _metadata(image: Image.Image) -> dict[str, float]:
    info = image.info
    keys = {"EXIF": "exif", "ICC profile": "icc_profile", "comment": "comment"}
    sizes = {name: len(info.get(key) or b"") for name, key in keys.items()}
    segments = [name for name, _ in getattr(image, "applist", [])]
    density = info.get("dpi") or info.get("jfif_density") or (0, 0)
    return {
        **{f"{name} bytes": float(size) for name, size in sizes.items()},
        **{f"has {name}": float(size > 0) for name, size in sizes.items()},
        **{f"APP{i}": float(segments.count(f"APP{i}")) for i in range(_APP_MARKERS)},
        "segments": float(len(segments)),
        "JFIF version": float(info.get("jfif", 0)),
        "density": float(density[0]),
    }


def readable(decoded: Decoded) -> bool:
    """Whether TensorFlow decoded the pixels and Pillow can read the header."""
    if decoded.image is None:
        return False
    try:
        with Image.open(io.BytesIO(decoded.encoded.data)):
            return True
    except (UnidentifiedImageError, OSError):
        return False
