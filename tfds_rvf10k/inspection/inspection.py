"""Opens and decodes every file once.

It finds the files that training could not read, or would read as another picture.
"""

import dataclasses
import functools
import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from tfds_rvf10k.inspection import image_header, near_duplicates
from tfds_rvf10k.sources.source import Source, UnreadableFile
from tfds_rvf10k.sources.source_images import Problem

MAX_PIXELS = 2**26  # 67 megapixels, more than a camera has
_BATCH_PIXELS = 2**23  # decoded in one call, 25 MB in each thread
_MIN_SIDE = 8  # pixels; a smaller image has no perceptual hash
_RGB = 3  # components
_COLOURS = {1: "grayscale", 4: "CMYK"}  # by the number of components
_ORIENTATION = 0x0112  # the tag in EXIF


@dataclasses.dataclass(frozen=True, slots=True)
class InspectedImage:
    """What was found of a sound file.

    Attributes:
      sha256: of its bytes.
      pixel_digest: 16 bytes. Files that were inspected at one scale have equal digests if their
        pixels are equal. Files of other pixels hardly ever have.
      size: height and width in pixels.
      perceptual: the hash of near_duplicates; empty if it was not asked for.
      bytes: the size of the file.
    """

    sha256: bytes
    pixel_digest: bytes
    size: tuple[int, int]
    perceptual: bytes = b""
    bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Inspects the files of a source. It is cheap to pickle, so that Beam can send it to workers.

    Attributes:
      source: the folder of the files.
      scale: 8 decodes JPEGs to an eighth of each side. That reads the whole file at half the cost.
        1 makes the pixel digests of JPEG and PNG files comparable.
      perceptual: also computes perceptual hashes; needs scale 1.
      max_pixels: a file whose header declares more is not decoded.
    """

    source: Source
    scale: int = 8
    perceptual: bool = False
    max_pixels: int = MAX_PIXELS

    def __call__(self, names: Sequence[str]) -> list[InspectedImage | Problem]:
        """Inspects files; the results have the order of the names."""
        read = [self._read(name) for name in names]
        sound = [item for item in read if not isinstance(item, Problem)]
        found = iter(self._decode_in_batches(sound))
        results: list[InspectedImage | Problem] = []
        for name, item in zip(names, read):
            if isinstance(item, Problem):
                results.append(item)
            elif inspected := next(found):
                results.append(inspected)
            else:
                what = "truncated or damaged, cannot be decoded"
                results.append(Problem(name, what, "get it again"))
        return results

    def digests(self, contents: Sequence[bytes]) -> list[InspectedImage | None]:
        """Inspects the bytes of files that passed an inspection before; None for a damaged one."""
        return self._decode_in_batches([(_size(data), data) for data in contents])

    def _read(self, name: str) -> tuple[tuple[int, int], bytes] | Problem:
        """The size and bytes of a file, or what its header shows to be wrong."""
        try:
            data = self.source.read(name, 8 * self.max_pixels + 2**20)
        except UnreadableFile as error:
            return Problem(name, error.what, error.remedy)
        if not data:
            return Problem(name, "an empty file", "get it again")
        try:
            size, problem = _check_header(name, data, self.max_pixels)
        except (ValueError, IndexError, struct.error):
            return Problem(name, "its header is truncated or wrong", "get it again")
        return problem or (size, data)

    def _decode_in_batches(
        self, files: Sequence[tuple[tuple[int, int], bytes]]
    ) -> list[InspectedImage | None]:
        """Decodes files, a limited number of pixels at a time; None for one that cannot be."""
        found: list[InspectedImage | None] = []
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

    def _decode(
        self, files: Sequence[tuple[tuple[int, int], bytes]]
    ) -> list[InspectedImage | None]:
        """Decodes files in one call; if that fails, one by one."""
        import tensorflow as tf

        if not files:
            return []
        try:
            decoded = _decoder(self.scale)(tf.constant([data for _, data in files])).numpy()
        except tf.errors.InvalidArgumentError:
            if len(files) == 1:
                return [None]
            return [found for file in files for found in self._decode([file])]
        return [self._result(size, data, pixels) for (size, data), pixels in zip(files, decoded)]

    def _result(self, size: tuple[int, int], data: bytes, serialized: bytes) -> InspectedImage:
        """The result for one file, from its decoded pixels as a serialised tensor."""
        perceptual = b""
        if self.perceptual:
            import tensorflow as tf

            pixels = tf.io.parse_tensor(serialized, tf.uint8).numpy()
            perceptual = near_duplicates.perceptual_hash(pixels)
        return InspectedImage(
            sha256=hashlib.sha256(data).digest(),
            pixel_digest=hashlib.blake2b(serialized, digest_size=16).digest(),
            size=size,
            perceptual=perceptual,
            bytes=len(data),
        )


@functools.lru_cache(maxsize=2)
def _decoder(scale: int) -> Any:
    """A function from the bytes of JPEGs and PNGs to serialised uint8 tensors; both string [n].

    It is the decoder of training: a file that only another decoder accepts would stop a run. One
    call takes many files, because a call takes as long as decoding one file.
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
    """Sorts files of one digest into groups whose decoded pixels are equal.

    Args:
      source: the folder of the files.
      names: of the files.
      limit: the most pixels of a file.
    """
    at_full_scale = Inspection(source, scale=1, max_pixels=limit)
    groups: dict[bytes, list[str]] = {}
    for name in names:
        (found,) = at_full_scale([name])
        # It was sound a moment ago. If it has changed since, writing it fails.
        if isinstance(found, InspectedImage):
            groups.setdefault(found.pixel_digest, []).append(name)
    return list(groups.values())


def _check_header(
    name: str, data: bytes, max_pixels: int
) -> tuple[tuple[int, int], Problem | None]:
    """Height and width by the header, and what it shows to be wrong."""
    is_png, is_jpeg = data.startswith(b"\x89PNG\r\n\x1a\n"), data.startswith(b"\xff\xd8")
    if not is_png and not is_jpeg:
        kind = "a GIF" if data.startswith(b"GIF8") else "neither a JPEG nor a PNG"
        return (0, 0), Problem(name, f"{kind} by its contents", "convert it, or remove it")
    if is_png != name.lower().endswith(".png"):
        kind, suffix = ("PNG", ".png") if is_png else ("JPEG", ".jpg")
        return (0, 0), Problem(
            name, f"a {kind} by its contents", f"name it {suffix}, or convert it"
        )
    size, colour, exif = (_png if is_png else _jpeg)(data)
    if (pixels := size[0] * size[1]) > max_pixels:
        what = f"{pixels:,} pixels by its header, more than {max_pixels:,}"
        return size, Problem(name, what, "remove it")
    if min(size) < _MIN_SIDE:
        what = f"{size[1]}x{size[0]} pixels, a side below {_MIN_SIDE}"
        return size, Problem(name, what, "remove it")
    if colour:
        return size, Problem(name, f"{colour}, not RGB", "convert it, or remove it")
    if exif and (orientation := _orientation(exif)) not in (0, 1):
        what = f"turned by its EXIF orientation ({orientation}), which no training applies"
        remedy = "turn its pixels (mogrify -auto-orient), or remove it"
        return size, Problem(name, what, remedy)
    return size, None


def _size(data: bytes) -> tuple[int, int]:
    """Height and width of a file; zeros for a header that cannot be decoded either."""
    try:
        size, _, _ = (_png if data.startswith(b"\x89PNG") else _jpeg)(data)
    except (ValueError, IndexError, struct.error):
        return (0, 0)
    return size


def _jpeg(data: bytes) -> tuple[tuple[int, int], str, bytes]:
    """Size, the kind of its colours ("" for RGB), and its EXIF (empty if it has none)."""
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
    """As `_jpeg`."""
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    colours = {0: "grayscale", 3: "of a palette", 4: "grayscale", 6: "with an alpha channel"}
    colour = colours.get(kind, "" if depth == 8 else f"of {depth} bits a channel")
    exif, at = b"", data.find(b"eXIf")
    if at > 0:
        exif = data[at + 4 : at + 4 + struct.unpack_from(">I", data, at - 4)[0]]
    return (height, width), colour, exif


def _orientation(exif: bytes) -> int:
    """The orientation in EXIF; 0 if there is none, or none that can be read."""
    read = Image.Exif()
    try:
        read.load(exif)
        return int(read.get(_ORIENTATION, 0))
    except (SyntaxError, ValueError, TypeError, OverflowError, struct.error):
        return 0  # decoders ignore such EXIF, and so does training


def perceptual_hashes(found: Sequence[InspectedImage]) -> np.ndarray:
    """The perceptual hashes of images, uint8 [n, 32]."""
    flat = np.frombuffer(b"".join(item.perceptual for item in found), np.uint8)
    return flat.reshape(len(found), near_duplicates.HASH_BYTES)
