"""Reads the records of a shard, and compares the shard with the manifest."""

import dataclasses
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from tfds_rvf10k.inspection.inspection import InspectedImage, Inspection
from tfds_rvf10k.shards.shard_writer import size_and_sha256
from tfds_rvf10k.sources.source import Source

_CHUNK = 64  # records decoded in one call
_HEADER_BYTES = 12  # of a record: its length in 8 bytes and the checksum of these in 4
_FRAME_BYTES = _HEADER_BYTES + 4  # with the checksum of the data, which follows them
_PNG = b"\x89PNG"


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
      filename, label, fold: from the record.
      sha256: of the image's bytes.
      pixel_digest, perceptual: see inspection.InspectedImage; empty if the image cannot be decoded.
      is_png: by the image's bytes.
      problem: why it is no record of such a dataset; "" if it is one.
    """

    filename: str = ""
    label: int = -1
    fold: int = -1
    sha256: bytes = b""
    pixel_digest: bytes = b""
    perceptual: bytes = b""
    is_png: bool = False
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class ShardContents:
    """What a shard holds.

    Attributes:
      bytes, sha256: of the file.
      records: in order, up to the first damaged one.
      is_truncated: the file ends inside the next record.
      is_damaged: a checksum of the next record is wrong.
      problem: why the file could not be read at all; "" if it could.
    """

    bytes: int = 0
    sha256: str = ""
    records: tuple[Record, ...] = ()
    is_truncated: bool = False
    is_damaged: bool = False
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class ShardReader:
    """Reads shards. It is cheap to pickle, so that Beam can send it to its workers.

    Attributes:
      folder: of the shards.
      scale, perceptual: see inspection.Inspection.
    """

    folder: str
    scale: int = 8
    perceptual: bool = False

    def __call__(self, file: str) -> ShardContents:
        """Reads a shard; whatever is wrong with it is in the result."""
        path = os.fspath(epath.Path(self.folder) / file)
        try:
            size, sha256 = size_and_sha256(path)
        except FileNotFoundError:
            return ShardContents(problem="missing")
        except OSError as error:
            return ShardContents(problem=f"cannot be read ({error.strerror or error})")
        inspect = Inspection(Source("/"), self.scale, self.perceptual)
        records: list[Record] = []
        end = 0  # of the last sound record
        for chunk in _chunks(path):
            end += sum(len(data) + _FRAME_BYTES for data in chunk)
            records += _records(chunk, inspect)
        is_truncated = end < size and _ends_inside_record(path, end, size)
        return ShardContents(
            size,
            sha256,
            tuple(records),
            is_truncated=is_truncated,
            is_damaged=end < size and not is_truncated,
        )


def _chunks(path: str) -> Iterator[list[bytes]]:
    """Yields the records up to the first damaged one, some at a time."""
    import tensorflow as tf

    dataset, read = tf.data.TFRecordDataset(path), 0
    try:
        for batch in dataset.batch(_CHUNK).as_numpy_iterator():
            read += len(batch)
            yield list(batch)
    except tf.errors.DataLossError:
        # The sound records of the batch were lost with the damaged one.
        yield list(_sound(dataset.skip(read).take(_CHUNK)))


def _ends_inside_record(path: str, start: int, size: int) -> bool:
    """Whether the file ends inside the record at `start`.

    Only a length with the right checksum is believed. TensorFlow reports a wrong checksum and a
    truncated record by one exception, and takes a file that ends inside a length for complete.

    Args:
      path: of the shard.
      start: where the record begins, in bytes.
      size: of the file.
    """
    with epath.Path(path).open("rb") as file:
        file.seek(start)
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return True
    length, checksum = struct.unpack("<QI", header)
    return checksum == _masked_crc32c(header[:8]) and start + length + _FRAME_BYTES > size


def _masked_crc32c(data: bytes) -> int:
    """The checksum of TFRecord files; bit by bit, which is fast enough for the 8 bytes of a length.

    Source: tensorflow/core/lib/hash/crc32c.h.
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _sound(dataset: Any) -> Iterator[bytes]:
    """Yields the records before the first damaged one."""
    import tensorflow as tf

    iterator = dataset.as_numpy_iterator()
    while True:
        try:
            yield next(iterator)
        except (StopIteration, tf.errors.DataLossError):
            return


def _records(chunk: Sequence[bytes], inspect: Inspection) -> list[Record]:
    parsed = [_parse(data) for data in chunk]
    found = iter(inspect.digests([image for _, image in parsed if image]))
    return [
        _with_digests(record, image, next(found)) if image else record for record, image in parsed
    ]


def _parse(data: bytes) -> tuple[Record, bytes]:
    """A record without digests, and its image; b"" if it is no record of such a dataset."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(data).features.feature
        image = features["image"].bytes_list.value[0]
        label, fold = (features[name].int64_list.value[0] for name in ("label", "fold"))
        filename = features["filename"].bytes_list.value[0].decode()
    except (DecodeError, IndexError, UnicodeDecodeError):
        return Record(problem="no example with image, label, fold and filename"), b""
    problem = "" if label in (0, 1) else f"label {label}, not 0 or 1"
    problem = problem or ("" if image else "an empty image")
    return Record(filename, label, fold, is_png=image.startswith(_PNG), problem=problem), image


def _with_digests(record: Record, image: bytes, found: InspectedImage | None) -> Record:
    if found is None:
        sha256 = hashlib.sha256(image).digest()
        return dataclasses.replace(record, sha256=sha256, problem="its image cannot be decoded")
    return dataclasses.replace(
        record, sha256=found.sha256, pixel_digest=found.pixel_digest, perceptual=found.perceptual
    )


def full_pixel_digests(path: str, indices: Sequence[int]) -> dict[int, bytes]:
    """Decodes some records of a shard at full scale.

    Args:
      path: of the shard.
      indices: of the records.

    Returns:
      The pixel digest of each, by its index.

    Raises:
      tf.errors.DataLossError: the shard is damaged before the last one.
    """
    import tensorflow as tf

    inspect, wanted = Inspection(Source("/"), scale=1), set(indices)
    dataset = tf.data.TFRecordDataset(path).take(max(indices) + 1)
    return {
        index: found.pixel_digest
        for index, data in enumerate(dataset.as_numpy_iterator())
        if index in wanted
        for found in inspect.digests([_parse(data)[1]])
        if found
    }


def difference(entry: Mapping[str, Any], found: ShardContents, others: Mapping[str, str]) -> str:
    """How a shard differs from the manifest's entry; "" if it does not.

    Args:
      entry: file, examples, bytes and sha256.
      found: the shard.
      others: the files of the manifest by their SHA-256.
    """
    count, examples = len(found.records), entry["examples"]
    if found.problem:
        return found.problem
    same = found.sha256 == entry["sha256"]
    if not same and (other := others.get(found.sha256)):
        return f"swapped: its contents are those of {other}"
    if found.is_damaged:
        return f"damaged: the checksum of record {count + 1} of {examples} is wrong"
    if found.is_truncated:
        return f"truncated inside record {count + 1} of {examples}"
    if count < examples:
        return f"truncated at a record boundary, after {count} of {examples} records"
    if count > examples:
        return f"{count} records, the manifest says {examples}"
    if not same:
        return (
            f"its {count} records are sound, but not those of the manifest (SHA-256 "
            f"{found.sha256[:12]}..., not {entry['sha256'][:12]}...): of another build, or edited"
        )
    if found.bytes != entry["bytes"]:
        return f"{found.bytes:,} bytes, the manifest says {entry['bytes']:,}"
    return ""
