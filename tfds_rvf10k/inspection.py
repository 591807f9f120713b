"""Opens and decodes every file once: what training could not read, or would read differently."""

import dataclasses
import functools
import hashlib
import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from tfds_rvf10k import image_header, near_duplicates
from tfds_rvf10k.listing import Problem
from tfds_rvf10k.sources import Source, Unreadable

MAX_PIXELS = 2**26  # 67 megapixels: more than a camera's
_MIN_SIDE = 8  # pixels; nothing smaller has a perceptual hash, or a face
_RGB = 3  # components
_COLOURS = {1: "grayscale", 4: "CMYK"}
_ORIENTATION = 0x0112  # tag of EXIF


@dataclasses.dataclass(frozen=True, slots=True)
class Inspected:
    """A sound file.

    Attributes:
      sha256: of its bytes.
      picture: 16 bytes; of files inspected by one scale, equal for equal pixels, and hardly ever
        for others.
      size: height and width in pixels.
      perceptual: see near_duplicates; empty if not asked for.
    """

    sha256: bytes
    picture: bytes
    size: tuple[int, int]
    perceptual: bytes = b""


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Inspects files of a source; cheap to pickle, so that Beam can send it to its workers.

    Attributes:
      source: where the files are.
      scale: 8 decodes JPEGs to an eighth of each side, which reads all that a whole decoding
        reads at half the cost; 1, where formats are mixed, makes pictures comparable across them.
      perceptual: also compute perceptual hashes; wants scale 1.
      max_pixels: of a file whose header says more, nothing is decoded.
    """

    source: Source
    scale: int = 8
    perceptual: bool = False
    max_pixels: int = MAX_PIXELS

    def __call__(self, names: Sequence[str]) -> list[Inspected | Problem]:
        """Inspects files, in order; a Problem says what is wrong with one."""
        read = [self._read(name) for name in names]
        sound = [item for item in read if not isinstance(item, Problem)]
        pictures = iter(self._decode([data for _, data in sound]))
        results: list[Inspected | Problem] = []
        for name, item in zip(names, read):
            if isinstance(item, Problem):
                results.append(item)
            elif (picture := next(pictures)) is None:
                results.append(Problem(name, "cut or damaged, cannot be decoded; get it again"))
            else:
                results.append(self._inspected(*item, picture))
        return results

    def digests(self, contents: Sequence[bytes]) -> list[Inspected]:
        """What it finds of files whose bytes are known to be sound; their size is left open."""
        decoded = self._decode(contents)
        return [
            self._inspected((0, 0), data, picture)
            for data, picture in zip(contents, decoded)
            if picture is not None
        ]

    def _read(self, name: str) -> tuple[tuple[int, int], bytes] | Problem:
        """The size and bytes of a file whose header is sound."""
        try:
            data = self.source.read(name, 8 * self.max_pixels + 2**20)
        except Unreadable as error:
            return Problem(name, str(error))
        if not data:
            return Problem(name, "an empty file; get it again")
        try:
            size, trouble = _header(name, data, self.max_pixels)
        except (ValueError, IndexError, struct.error, OSError, SyntaxError):  # the last is Pillow's
            return Problem(name, "its header is cut or wrong; get it again")
        return Problem(name, trouble) if trouble else (size, data)

    def _decode(self, contents: Sequence[bytes]) -> list[bytes | None]:
        """Pixels with their shape, serialised; None for what cannot be decoded."""
        import tensorflow as tf

        if not contents:
            return []
        try:
            return list(_decoder(self.scale)(tf.constant(contents)).numpy())
        except tf.errors.InvalidArgumentError:
            if len(contents) == 1:
                return [None]
        return [picture for data in contents for picture in self._decode([data])]

    def _inspected(self, size: tuple[int, int], data: bytes, picture: bytes) -> Inspected:
        perceptual = b""
        if self.perceptual:
            import tensorflow as tf

            pixels = tf.io.parse_tensor(picture, tf.uint8).numpy()
            perceptual = near_duplicates.perceptual_hash(pixels)
        return Inspected(
            hashlib.sha256(data).digest(),
            hashlib.blake2b(picture, digest_size=16).digest(),
            size,
            perceptual,
        )


@functools.lru_cache(maxsize=2)
def _decoder(scale: int) -> Any:
    """Bytes of JPEGs and PNGs, string [n] -> uint8 tensors serialised, string [n].

    By the decoder that training has, for what another one accepts may stop a run. In one call of
    TensorFlow for many files: one by one, calling takes as long as decoding.
    """
    import tensorflow as tf

    def decode(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(data, channels=3, ratio=scale, dct_method="INTEGER_ACCURATE")
        return tf.io.serialize_tensor(image)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def decode_all(contents: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(decode, contents, fn_output_signature=tf.string, parallel_iterations=1)

    return decode_all


def same_pixels(source: Source, names: Sequence[str], limit: int) -> list[list[str]]:
    """Sorts files of one picture digest into those whose decoded pixels are the same."""
    whole = Inspection(source, scale=1, max_pixels=limit)
    same: dict[bytes, list[str]] = {}
    for name in names:
        (found,) = whole([name])
        if isinstance(found, Inspected):  # it was sound a moment ago; writing it will tell
            same.setdefault(found.picture, []).append(name)
    return list(same.values())


def _header(name: str, data: bytes, max_pixels: int) -> tuple[tuple[int, int], str]:
    """Size, height first, and what is wrong by the header alone, "" if nothing."""
    is_png, is_jpeg = data.startswith(b"\x89PNG\r\n\x1a\n"), data.startswith(b"\xff\xd8")
    if not is_png and not is_jpeg:
        kind = "a GIF" if data.startswith(b"GIF8") else "neither a JPEG nor a PNG"
        return (0, 0), f"{kind} by its contents; convert it, or remove it"
    if is_png != name.lower().endswith(".png"):
        kind, suffix = ("PNG", ".png") if is_png else ("JPEG", ".jpg")
        return (0, 0), f"a {kind} by its contents; name it {suffix}, or convert it"
    size, colour, has_exif = (_png if is_png else _jpeg)(data)
    if (pixels := size[0] * size[1]) > max_pixels:
        return size, f"{pixels:,} pixels by its header, more than {max_pixels:,}; remove it"
    if min(size) < _MIN_SIDE:
        return size, f"{size[1]}x{size[0]} pixels, a side below {_MIN_SIDE}; remove it"
    if colour:
        return size, f"{colour}, not RGB; convert it, or remove it"
    if has_exif and (orientation := _orientation(data)) not in (0, 1):
        return size, (
            f"turned by its EXIF orientation ({orientation}), which no training applies; turn its "
            "pixels (mogrify -auto-orient), or remove it"
        )
    return size, ""


def _jpeg(data: bytes) -> tuple[tuple[int, int], str, bool]:
    """Size, what its colours are if not RGB, and whether it has EXIF."""
    size, components, has_exif = (0, 0), 0, False
    for marker, at in image_header.segments(data):
        if marker == 0xE1 and data[at + 2 : at + 6] == b"Exif":
            has_exif = True
        elif image_header.is_frame(marker) and not components:
            height, width, components = struct.unpack_from(">HHB", data, at + 3)
            size = height, width
    colour = "" if components == _RGB else _COLOURS.get(components, f"of {components} components")
    return size, colour, has_exif


def _png(data: bytes) -> tuple[tuple[int, int], str, bool]:
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    colours = {0: "grayscale", 3: "of a palette", 4: "grayscale", 6: "with an alpha channel"}
    colour = colours.get(kind, "" if depth == 8 else f"of {depth} bits a channel")
    return (height, width), colour, b"eXIf" in data


def _orientation(data: bytes) -> int:
    """Of a file's EXIF, by Pillow, which reads headers only; 0 if there is none."""
    with Image.open(io.BytesIO(data)) as image:
        return int(image.getexif().get(_ORIENTATION, 0))


def pictures(found: Sequence[Inspected]) -> np.ndarray:
    """Perceptual hashes as uint8 [n, 32]."""
    flat = np.frombuffer(b"".join(item.perceptual for item in found), np.uint8)
    return flat.reshape(len(found), near_duplicates.HASH_BYTES)
