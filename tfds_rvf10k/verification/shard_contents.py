"""What a shard holds, read back from its file, and in words why that is not what it should."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from tfds_rvf10k.inspection.inspection import Inspected, Inspection
from tfds_rvf10k.shards import shard_writer as shards
from tfds_rvf10k.sources.source import Source

_CHUNK = 64  # records decoded by one call
_FRAME = 16  # bytes of a record's length, the length's checksum and the data's
_PNG = b"\x89PNG"


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
      filename, label, fold: as the record has them.
      sha256: of the image's bytes.
      picture, perceptual: see inspection.Inspected; empty if the image cannot be decoded.
      is_png: by the image's bytes.
      problem: why it is no record of such a dataset; "" if it is one.
    """

    filename: str = ""
    label: int = -1
    fold: int = -1
    sha256: bytes = b""
    picture: bytes = b""
    perceptual: bytes = b""
    is_png: bool = False
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Contents:
    """A shard as it is.

    Attributes:
      bytes, sha256: of the file.
      records: in order, up to the first that is damaged.
      stopped: why reading ended before the file did; "" if it did not.
      problem: why the file could not be read at all.
    """

    bytes: int = 0
    sha256: str = ""
    records: tuple[Record, ...] = ()
    stopped: str = ""
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class ShardReader:
    """Reads shards; cheap to pickle, as an executor wants it.

    Attributes:
      folder: of the shards.
      scale, perceptual: see inspection.Inspection.
    """

    folder: str
    scale: int = 8
    perceptual: bool = False

    def __call__(self, file: str) -> Contents:
        """Reads a shard; whatever is wrong with it is in the result."""
        path = os.fspath(epath.Path(self.folder) / file)
        try:
            size, sha256 = shards.digest(path)
        except FileNotFoundError:
            return Contents(problem="missing")
        except OSError as error:
            return Contents(problem=f"cannot be read ({error.strerror or error})")
        inspect = Inspection(Source("/"), self.scale, self.perceptual)
        records: list[Record] = []
        end, stopped = 0, ""
        for chunk, why in _chunks(path):
            end += sum(len(data) + _FRAME for data in chunk)
            records += _records(chunk, inspect)
            stopped = why
        if not stopped and end < size:  # TensorFlow takes a cut inside a length for the file's end
            stopped = "cut"
        return Contents(size, sha256, tuple(records), stopped)


def _chunks(path: str) -> Iterator[tuple[list[bytes], str]]:
    """Records, some at a time, and why reading stopped: cut, checksum, or "" if it goes on."""
    import tensorflow as tf

    dataset, read = tf.data.TFRecordDataset(path), 0
    try:
        for batch in dataset.batch(_CHUNK).as_numpy_iterator():
            read += len(batch)
            yield list(batch), ""
    except tf.errors.DataLossError as error:
        # The records before the damaged one were lost with their batch.
        stopped = "cut" if "truncated" in str(error) else "checksum"
        yield list(_sound(dataset.skip(read).take(_CHUNK))), stopped


def _sound(dataset: Any) -> Iterator[bytes]:
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
    """A record without digests, and its image; no image if it is no record of such a dataset."""
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


def _with_digests(record: Record, image: bytes, found: Inspected | None) -> Record:
    if found is None:
        sha256 = hashlib.sha256(image).digest()
        return dataclasses.replace(record, sha256=sha256, problem="its image cannot be decoded")
    return dataclasses.replace(
        record, sha256=found.sha256, picture=found.picture, perceptual=found.perceptual
    )


def whole_pictures(path: str, indices: Sequence[int]) -> dict[int, bytes]:
    """Digests of the full pixels of some records of a shard, by their indices.

    Raises:
      tf.errors.DataLossError: the shard is damaged before the last of them.
    """
    import tensorflow as tf

    inspect, wanted = Inspection(Source("/"), scale=1), set(indices)
    dataset = tf.data.TFRecordDataset(path).take(max(indices) + 1)
    return {
        index: found.picture
        for index, data in enumerate(dataset.as_numpy_iterator())
        if index in wanted
        for found in inspect.digests([_parse(data)[1]])
        if found
    }


def explain(entry: Mapping[str, Any], found: Contents, others: Mapping[str, str]) -> str:
    """In words, why a shard is not what the manifest says; "" if it is.

    Args:
      entry: the manifest's, with file, examples, bytes and sha256.
      found: what was read.
      others: the manifest's files by SHA-256.
    """
    count, examples = len(found.records), entry["examples"]
    if found.problem:
        return found.problem
    same = found.sha256 == entry["sha256"]
    if not same and (other := others.get(found.sha256)):
        return f"swapped: its contents are those of {other}"
    if found.stopped == "checksum":
        return f"damaged: the checksum of record {count + 1} of {examples} is wrong"
    if found.stopped:
        return f"cut inside record {count + 1} of {examples}"
    if count < examples:
        return f"cut at a record boundary, after {count} of {examples} records"
    if count > examples:
        return f"{count} records, the manifest says {examples}"
    if not same:
        return (
            f"its {count} records are whole, but others than the manifest's (SHA-256 "
            f"{found.sha256[:12]}..., not {entry['sha256'][:12]}...): of another build, or edited"
        )
    if found.bytes != entry["bytes"]:
        return f"{found.bytes:,} bytes, the manifest says {entry['bytes']:,}"
    return ""
