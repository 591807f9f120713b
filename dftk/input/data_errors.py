"""Finds the shard or the image that made TensorFlow fail, and says what to do about it."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from dftk.input import decoding
from dftk.input.shards import FEATURES, DataError, Shard
from dftk.utils.progress import say

# How each type of feature is stored in a tf.train.Feature, and what it is called in messages.
_KINDS = {tf.string: ("bytes_list", "string"), tf.int64: ("int64_list", "integer")}


@contextlib.contextmanager
def translate_data_errors(
    shards: Sequence[Shard], image_size: tuple[int, int] | None
) -> Iterator[None]:
    """Turns TensorFlow's errors over bad data inside the block into a DataError.

    Args:
      shards: that the block reads.
      image_size: height and width that every image must have; None allows any.

    Raises:
      DataError: names the shard or the image. TensorFlow's error is raised if no fault is found.
    """
    try:
        yield
    except (
        StopIteration,
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        tf.errors.UnknownError,
    ) as error:
        say("reading failed; looking for the shard or the image at fault")
        if (found := diagnose(shards, image_size)) is None:
            raise  # the data are not at fault
        raise found from error


def diagnose(shards: Sequence[Shard], image_size: tuple[int, int] | None) -> DataError | None:
    """Reads record by record until it finds a fault.

    Args:
      shards: to read.
      image_size: see translate_data_errors.

    Returns:
      the first fault; None if there is none.
    """
    for shard in shards:
        count = 0
        try:
            for record in tf.data.TFRecordDataset(shard.path).take(shard.length):
                count += 1
                if found := _diagnose_record(shard, count, record.numpy(), image_size):
                    return found
        except tf.errors.DataLossError:
            return DataError(shard.path, "", f"corrupt after {count} records", shard.remedy)
        if count != shard.length:
            return wrong_count(shard, count)
    return None


def wrong_count(shard: Shard, count: int) -> DataError:
    """Returns the error for a shard of which `count` records could be read, not `length`."""
    what = f"{count} records, its metadata says {shard.length}"
    return DataError(shard.path, "", what, shard.remedy)


def require_folds(shards: Sequence[Shard], folds: np.ndarray) -> None:
    """Checks that every record is of its shard's fold.

    Args:
      shards: that were read.
      folds: int64 [n], of their records.

    Raises:
      DataError: names a shard with records of another fold.
    """
    ends = np.cumsum([shard.length for shard in shards])
    for shard, found in zip(shards, np.split(folds, ends[:-1])):
        if others := sorted(set(found.tolist()) - {shard.fold}):
            what = f"holds records of fold {others[0]}, its place is fold {shard.fold}"
            remedy = "shards were swapped or edited, see python -m dftk.verify"
            raise DataError(shard.path, "", what, remedy)


def _diagnose_record(
    shard: Shard, number: int, record: bytes, image_size: tuple[int, int] | None
) -> DataError | None:
    if what := _diagnose_features(record):
        where = f"record {number} of {shard.length}"
        return DataError(shard.path, "", f"{where} {what}", shard.remedy)
    features = tf.train.Example.FromString(record).features.feature
    filename = features["filename"].bytes_list.value[0].decode(errors="backslashreplace")
    remove = f"remove it, then {shard.remedy}"
    try:
        shape = tuple(decoding.decode_image(features["image"].bytes_list.value[0]).shape)
    except tf.errors.InvalidArgumentError:
        return DataError(shard.path, filename, decoding.UNREADABLE, remove)
    if image_size is not None and shape[:2] != image_size:
        height, width = image_size
        what = f"{shape[1]}x{shape[0]} pixels, the first image has {width}x{height}"
        return DataError(shard.path, filename, what, f"{shard.size_remedy}, or {remove}")
    return None


def _diagnose_features(record: bytes) -> str:
    """Returns what is wrong with a record, whatever its image; "" if nothing is."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return "is not a tf.train.Example"
    for name, specification in FEATURES.items():
        kind, noun = _KINDS[specification.dtype]
        stored = features[name].WhichOneof("kind") if name in features else None
        if stored is None:
            there = ", ".join(sorted(features)) or "none"
            return f"has no feature {name!r}; its features are: {there}"
        if stored != kind or len(getattr(features[name], kind).value) != 1:
            return f"has a feature {name!r} that is not one {noun}"
    return ""
