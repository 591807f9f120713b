"""Opens and decodes every file once: what training could not read, or would read differently."""

import dataclasses
import functools
import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from tfds_rvf10k.inspection import image_header, near_duplicates
from tfds_rvf10k.sources.source import Source, Unreadable
from tfds_rvf10k.sources.source_images import Problem

MAX_PIXELS = 2**26  # 67 megapixels: more than a camera's
_BATCH_PIXELS = 2**23  # decoded together: 25 MB, of each thread
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
      bytes: of the file.
    """

    sha256: bytes
    picture: bytes
    size: tuple[int, int]
    perceptual: bytes = b""
    bytes: int = 0


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
        found = iter(self._decode_in_batches(sound))
        results: list[Inspected | Problem] = []
        for name, item in zip(names, read):
            if isinstance(item, Problem):
                results.append(item)
            elif inspected := next(found):
                results.append(inspected)
            else:
                results.append(Problem(name, "cut or damaged, cannot be decoded; get it again"))
        return results

    def digests(self, contents: Sequence[bytes]) -> list[Inspected | None]:
        """What it finds of files that were inspected before; None for one that is damaged now."""
        return self._decode_in_batches([(_size(data), data) for data in contents])

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
        except (ValueError, IndexError, struct.error):
            return Problem(name, "its header is cut or wrong; get it again")
        return Problem(name, trouble) if trouble else (size, data)

    def _decode_in_batches(
        self, files: Sequence[tuple[tuple[int, int], bytes]]
    ) -> list[Inspected | None]:
        """What was found of each; None for what cannot be decoded. Bounded by pixels in memory."""
        found: list[Inspected | None] = []
        batch: list[tuple[tuple[int, int], bytes]] = []
        pixels = 0
        for size, data in files:
            area = size[0] * size[1]
            if batch and pixels + area > _BATCH_PIXELS:
                found += self._decode(batch)
                batch, pixels = [], 0
            batch.append((size, data))
            pixels += area
        return found + self._decode(batch)

    def _decode(self, files: Sequence[tuple[tuple[int, int], bytes]]) -> list[Inspected | None]:
        """In one call; where that fails, one by one."""
        import tensorflow as tf

        if not files:
            return []
        try:
            pictures = _decoder(self.scale)(tf.constant([data for _, data in files])).numpy()
        except tf.errors.InvalidArgumentError:
            if len(files) == 1:
                return [None]
            return [found for file in files for found in self._decode([file])]
        return [self._inspected(*file, picture) for file, picture in zip(files, pictures)]

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
            len(data),
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
    size, colour, exif = (_png if is_png else _jpeg)(data)
    if (pixels := size[0] * size[1]) > max_pixels:
        return size, f"{pixels:,} pixels by its header, more than {max_pixels:,}; remove it"
    if min(size) < _MIN_SIDE:
        return size, f"{size[1]}x{size[0]} pixels, a side below {_MIN_SIDE}; remove it"
    if colour:
        return size, f"{colour}, not RGB; convert it, or remove it"
    if exif and (orientation := _orientation(exif)) not in (0, 1):
        return size, (
            f"turned by its EXIF orientation ({orientation}), which no training applies; turn its "
            "pixels (mogrify -auto-orient), or remove it"
        )
    return size, ""


def _size(data: bytes) -> tuple[int, int]:
    """Height and width of a file; zeros where decoding will fail, too."""
    try:
        size, _, _ = (_png if data.startswith(b"\x89PNG") else _jpeg)(data)
    except (ValueError, IndexError, struct.error):
        return (0, 0)
    return size


def _jpeg(data: bytes) -> tuple[tuple[int, int], str, bytes]:
    """Size, what its colours are if not RGB, and its EXIF, empty if it has none."""
    size, components, exif = (0, 0), 0, b""
    for marker, at in image_header.segments(data):
        if marker == 0xE1 and data[at + 2 : at + 6] == b"Exif" and not exif:
            exif = data[at + 2 : at + struct.unpack_from(">H", data, at)[0]]
        elif image_header.is_frame(marker) and not components:
            height, width, components = struct.unpack_from(">HHB", data, at + 3)
            size = height, width
    colour = "" if components == _RGB else _COLOURS.get(components, f"of {components} components")
    return size, colour, exif


def _png(data: bytes) -> tuple[tuple[int, int], str, bytes]:
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    colours = {0: "grayscale", 3: "of a palette", 4: "grayscale", 6: "with an alpha channel"}
    colour = colours.get(kind, "" if depth == 8 else f"of {depth} bits a channel")
    exif, at = b"", data.find(b"eXIf")
    if at > 0:
        exif = data[at + 4 : at + 4 + struct.unpack_from(">I", data, at - 4)[0]]
    return (height, width), colour, exif


def _orientation(exif: bytes) -> int:
    """Of EXIF by itself, without its image; 0 if it says nothing of it, or nothing readable."""
    read = Image.Exif()
    try:
        read.load(exif)
        return int(read.get(_ORIENTATION, 0))
    except (SyntaxError, ValueError, TypeError, OverflowError, struct.error):
        return 0  # decoders ignore it, and so does training


def pictures(found: Sequence[Inspected]) -> np.ndarray:
    """Perceptual hashes as uint8 [n, 32]."""
    flat = np.frombuffer(b"".join(item.perceptual for item in found), np.uint8)
    return flat.reshape(len(found), near_duplicates.HASH_BYTES)
