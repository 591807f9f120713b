"""The whole tf.data order: TFRecords to uint8 images, and images to the batches of an epoch.

The host moves uint8 pixels and a few bytes beside them. Resizing, scaling and augmentation are
the device's work (dftk.models.preprocess).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from dftk.data.catalog import Shard

_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
    "fold": tf.io.FixedLenFeature([], tf.int64),
    "filename": tf.io.FixedLenFeature([], tf.string),
}
DRAWS = 5  # random numbers of one augmentation: flip, brightness, contrast, saturation, hue


def records(shards: Sequence[Shard]) -> tf.data.Dataset:
    """Reads `length` records of each shard, in order, the next files opened ahead.

    Returns:
      a dataset of scalar strings, serialised tf.train.Example protos.
    """
    paths = tf.constant([shard.path for shard in shards])
    lengths = tf.constant([shard.length for shard in shards], tf.int64)
    return tf.data.Dataset.from_tensor_slices((paths, lengths)).interleave(
        lambda path, length: tf.data.TFRecordDataset(path).take(length),
        cycle_length=4,
        # A block as long as the longest shard: files are read side by side, and their records
        # come out file by file, so that a fold is a range of rows.
        block_length=max(shard.length for shard in shards),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def decode_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """JPEG bytes to uint8 [h, w, 3], with the exact inverse DCT.

    TensorFlow's default is the fast one: up to 19 levels off on RVF10K, where other decoders agree
    to the bit. What a generator leaves behind is fainter than that.
    """
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses one record; its image is still JPEG bytes."""
    return tf.io.parse_single_example(serialized, _FEATURES)


def decode(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses one record and decodes its image.

    Returns:
      image uint8 [h, w, 3]; label and fold int64 []; filename string [].
    """
    example = parse(serialized)
    return {**example, "image": decode_jpeg(example["image"])}


def decoded(shards: Sequence[Shard]) -> tf.data.Dataset:
    """Reads and decodes every record of the shards once, in order."""
    dataset = records(shards).map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(rows: int, batch_size: int, parts: int) -> int:
    """Number of global batches: as few as batch_size allows, but none smaller than `parts`."""
    return max(1, min(math.ceil(rows / batch_size), rows // parts))


def plan(rows: int, batch_size: int, parts: int) -> list[np.ndarray]:
    """Cuts `rows` positions into batches, and each batch into one part per replica.

    Batches differ by one example at most, and so do the parts: an epoch has no runt at its end,
    and no replica is left without an example (unless there are fewer rows than replicas). For that
    a batch may exceed a batch_size that is below twice the number of replicas.

    Returns:
      three arrays, one entry per part in the order of consumption: start int64, stop int64, and
      share float32, one over the size of the global batch.
    """
    batches = np.array_split(np.arange(rows), steps_per_epoch(rows, batch_size, parts))
    cuts = [(batch.size, part) for batch in batches for part in np.array_split(batch, parts)]
    starts = np.cumsum([0] + [part.size for _, part in cuts[:-1]])
    stops = starts + [part.size for _, part in cuts]
    shares = np.array([1 / size for size, _ in cuts], np.float32)
    return [starts.astype(np.int64), stops.astype(np.int64), shares]


def batches(
    images: tf.Tensor,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    batch_size: int,
    parts: int = 1,
    shuffle: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """The batches of one epoch, gathered from resident pixels.

    Args:
      images: uint8 [n, h, w, 3].
      labels: int64 [n].
      rows: int64, the rows of `images` that the epoch visits, each once.
      batch_size: global batch size.
      parts: replicas; consecutive elements are the parts of one global batch.
      shuffle: (seed, epoch), the key of the order and of the augmentation's random numbers; None
        keeps the order and draws nothing.

    Returns:
      a dataset of dicts: image uint8 [b, h, w, 3]; label float32 [b]; index int64 [b], the row;
      share float32 [], one over the global batch's size; with `shuffle` also draws float32
      [b, DRAWS] in [0, 1), the same for a row whatever the order, batch or machine.
    """
    extra: dict[str, Any] = {}
    order = rows
    if shuffle is not None:
        seed, epoch = shuffle
        order = np.random.default_rng([seed, epoch, 0]).permutation(rows)
        table = np.random.default_rng([seed, epoch, 1]).random((len(labels), DRAWS), np.float32)
        extra["draws"] = tf.constant(table)
    order, targets = tf.constant(order, tf.int64), tf.constant(labels, tf.float32)

    def gather(start: tf.Tensor, stop: tf.Tensor, share: tf.Tensor) -> dict[str, tf.Tensor]:
        index = order[start:stop]
        batch = {"image": tf.gather(images, index), "label": tf.gather(targets, index)}
        batch |= {name: tf.gather(table, index) for name, table in extra.items()}
        return {**batch, "index": index, "share": share}

    dataset = tf.data.Dataset.from_tensor_slices(tuple(plan(len(rows), batch_size, parts)))
    dataset = dataset.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE)
