"""Writes images to TFRecord files.

The same images give the same bytes. A file gets its name only when it is complete.
"""

import dataclasses
import hashlib
import uuid

from etils import epath

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.sources.source import Source, UnreadableFile

_BLOCK = 2**20


class SourceChanged(DatasetError):
    """A file has changed since it was inspected."""


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One image of a shard."""

    filename: str
    label: int
    sha256: bytes  # of the file when it was inspected


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """What a shard will hold."""

    path: str
    fold: int  # -1 in valid
    members: tuple[Member, ...]


@dataclasses.dataclass(frozen=True)
class WrittenShard:
    """A shard that was written."""

    examples: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """Writes shards of a source. It is cheap to pickle, so that Beam can send it to its workers."""

    source: Source
    max_bytes: int  # of one file

    def __call__(self, plan: ShardPlan) -> WrittenShard:
        """Writes a shard. It may be written again, or twice at the same time.

        Raises:
          SourceChanged: a file has changed since it was inspected.
          OSError, tf.errors.OpError: the shard cannot be written.
        """
        import tensorflow as tf

        # Beam may write it twice at the same time, on machines with equal process ids.
        unfinished = f"{plan.path}.{uuid.uuid4().hex}.unfinished"
        with tf.io.TFRecordWriter(unfinished) as writer:
            for member in plan.members:
                writer.write(serialize(self._read(member), member, plan.fold))
        size, sha256 = size_and_sha256(unfinished)
        epath.Path(unfinished).replace(plan.path)
        return WrittenShard(len(plan.members), size, sha256)

    def _read(self, member: Member) -> bytes:
        try:
            data = self.source.read(member.filename, self.max_bytes)
        except UnreadableFile as error:
            raise SourceChanged(f"{member.filename}: {error.what}", error.remedy) from error
        if hashlib.sha256(data).digest() != member.sha256:
            raise SourceChanged(
                f"{self.source}/{member.filename}: changed while the dataset was built",
                "build again",
            )
        return data


def serialize(data: bytes, member: Member, fold: int) -> bytes:
    """A serialised tf.train.Example with the features of the dataset, sorted by their names.

    Protobuf does not sort a map unless it is asked to. Builds would differ from one another.
    """
    import tensorflow as tf

    def bytes_feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def int_feature(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        "image": bytes_feature(data),
        "label": int_feature(member.label),
        "fold": int_feature(fold),
        "filename": bytes_feature(member.filename.encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def size_and_sha256(path: str) -> tuple[int, str]:
    """The size in bytes and the SHA-256 in hexadecimal digits of a file on any filesystem."""
    size, sha256 = 0, hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            sha256.update(block)
    return size, sha256.hexdigest()
