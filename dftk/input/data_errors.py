"""Says which shard or which image stopped a read, and what to do about it."""

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from dftk.input import decoding
from dftk.input.shards import Shard
from dftk.utils.errors import UserError
from dftk.utils.progress import say


@contextlib.contextmanager
def translate_data_errors(shards: Sequence[Shard], size: tuple[int, int] | None) -> Iterator[None]:
    """Turns what TensorFlow raises over bad data inside the block into one line.

    Args:
      shards: what the block reads.
      size: height and width that every image must have; None allows any.

    Raises:
      UserError: names the shard or the image.
    """
    try:
        yield
    except (
        StopIteration,
        tf.errors.DataLossError,
        tf.errors.InvalidArgumentError,
        tf.errors.UnknownError,
    ) as error:
        say("reading failed; looking for the shard or the image")
        if not (found := diagnose(shards, size)):
            raise  # not the data's fault
        raise UserError(found) from error


def diagnose(shards: Sequence[Shard], size: tuple[int, int] | None) -> str:
    """Reads record by record for what is wrong; in words, or "" if this reading finds nothing."""
    for shard in shards:
        found = 0
        try:
            for record in tf.data.TFRecordDataset(shard.path).take(shard.length):
                found += 1
                if trouble := _diagnose_image(record.numpy(), size):
                    return f"{trouble}remove it, then {shard.remedy}"
        except tf.errors.DataLossError:
            return f"{shard.path}: corrupt after {found} records; {shard.remedy}"
        if found != shard.length:
            return (
                f"{shard.path}: {found} records, its metadata says {shard.length}; {shard.remedy}"
            )
    return ""


def _diagnose_image(record: bytes, size: tuple[int, int] | None) -> str:
    features = tf.train.Example.FromString(record).features.feature
    filename = features["filename"].bytes_list.value[0].decode()
    try:
        shape = tuple(decoding.decode_image(features["image"].bytes_list.value[0]).shape)
    except tf.errors.InvalidArgumentError:
        return f"{filename}: {decoding.UNREADABLE}; "
    if size is not None and shape[:2] != size:
        return (
            f"{filename}: {shape[1]}x{shape[0]} pixels, the first image has {size[1]}x{size[0]}; "
            "give --stored_size to resize them all, or "
        )
    return ""
