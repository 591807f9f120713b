"""Images -> one TFRecord file, the same bytes every time, in place only when it is whole."""

import dataclasses
import hashlib
import uuid

from etils import epath

from tfds_rvf10k.sources.source import Source, Unreadable

_BLOCK = 2**20


class SourceChanged(ValueError):
    """A file is no longer what it was when it was inspected."""


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One image of a shard."""

    filename: str
    label: int
    sha256: bytes  # of the file when it was inspected


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """What a shard shall hold."""

    path: str
    fold: int  # -1 in valid
    members: tuple[Member, ...]


@dataclasses.dataclass(frozen=True)
class Written:
    """A shard that was written."""

    examples: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """Writes shards from a source; cheap to pickle, so that Beam can send it to its workers."""

    source: Source
    max_bytes: int  # of one file

    def __call__(self, plan: ShardPlan) -> Written:
        """Writes a shard; another attempt at the same one does no harm.

        Raises:
          SourceChanged: a file has changed since it was inspected.
          OSError, tf.errors.OpError: cannot be written.
        """
        import tensorflow as tf

        # Beam may try twice at once, on machines that share process ids.
        unfinished = f"{plan.path}.{uuid.uuid4().hex}.unfinished"
        with tf.io.TFRecordWriter(unfinished) as writer:
            for member in plan.members:
                writer.write(serialize(self._read(member), member, plan.fold))
        written = Written(len(plan.members), *digest(unfinished))
        epath.Path(unfinished).replace(plan.path)
        return written

    def _read(self, member: Member) -> bytes:
        try:
            data = self.source.read(member.filename, self.max_bytes)
        except Unreadable as error:
            raise SourceChanged(f"{member.filename}: {error}") from error
        if hashlib.sha256(data).digest() != member.sha256:
            raise SourceChanged(
                f"{self.source}/{member.filename}: changed while the dataset was built; build again"
            )
        return data


def serialize(data: bytes, member: Member, fold: int) -> bytes:
    """A tf.train.Example with the features of the dataset, its map in the order of the keys.

    Protobuf leaves the order of a map open unless asked: builds would differ from one another.
    """
    import tensorflow as tf

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_int(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        "image": of_bytes(data),
        "label": of_int(member.label),
        "fold": of_int(fold),
        "filename": of_bytes(member.filename.encode()),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def digest(path: str) -> tuple[int, str]:
    """Size in bytes and SHA-256, in hexadecimal digits, of a file on any filesystem."""
    size, sha256 = 0, hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            sha256.update(block)
    return size, sha256.hexdigest()
