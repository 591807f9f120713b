"""The tf.data order from TFRecords to uint8 images; from rows to batches see dftk.input.batches.

The host moves uint8 pixels and a few bytes beside them. Scaling and augmentation are the device's
work (dftk.models.preprocess).
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dftk.input import decoding
from dftk.input.shards import FEATURES, Shard
from dftk.utils import limits

# Records are read, parsed and decoded several at a time: one by one, tf.data's own work for each
# costs a tenth of its decoding; more than 8 MB of pixels at once leave the processor's caches.
_CHUNK, _CHUNK_BYTES = 32, 2**23
_OPEN_FILES = 4  # read side by side, for disks that answer late

Shape = tuple[int, int, int]


def options(parallel: int) -> tf.data.Options:
    """Fixed parallelism instead of the autotuner.

    Measured on RVF10K: as fast with less memory, and the autotuner makes the end of an iteration
    wait up to half a second for its own thread; an epoch on an accelerator is not much longer.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    # Threads of the container's quota, where TensorFlow would start one for each core it sees.
    options.threading.private_threadpool_size = parallel
    # The graph below has nothing for them to find; looking takes 5 ms at the start of an epoch.
    options.experimental_optimization.apply_default_optimizations = False
    # Elements are worked on side by side; splitting the work of one gains nothing.
    options.threading.max_intra_op_parallelism = 1
    options.deterministic = True
    return options


def chunks(shards: Sequence[Shard], size: int) -> tf.data.Dataset:
    """Reads `length` records of each shard, up to `size` at a time, four files side by side.

    Chunks come in any order: each tells where it belongs. So a slow file holds nothing up, and no
    file is read ahead of need.

    Returns:
      a dataset of (start int64 [], records string [<= size]): serialised tf.train.Example protos,
      and the row of the first, shards counted on.
    """
    lengths = [shard.length for shard in shards]
    starts = np.cumsum([0, *lengths[:-1]])

    def read(path: tf.Tensor, start: tf.Tensor, length: tf.Tensor) -> tf.data.Dataset:
        rows = tf.data.Dataset.range(start, start + length, size)
        records = tf.data.TFRecordDataset(path).take(length).batch(size)
        return tf.data.Dataset.zip((rows, records))

    return tf.data.Dataset.from_tensor_slices(
        (
            [shard.path for shard in shards],
            tf.constant(starts, tf.int64),
            tf.constant(lengths, tf.int64),
        )
    ).interleave(
        read, cycle_length=_OPEN_FILES, num_parallel_calls=_OPEN_FILES, deterministic=False
    )


def parse(records: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses records, string [n]; their images are still JPEG bytes."""
    return tf.io.parse_example(records, FEATURES)


def decode_batch(contents: tf.Tensor, shape: Shape, size: int | None) -> tf.Tensor:
    """JPEG bytes to images of one shape; fails where one has another.

    Args:
      contents: string [n].
      shape: of every image in the result.
      size: resizes all to [size, size], bilinear as the model resizes, rounded to whole levels;
        None keeps them as they are.

    Returns:
      uint8 [n, *shape].
    """

    def decode(jpeg: tf.Tensor) -> tf.Tensor:
        image = decoding.decode_image(jpeg)
        return image if size is None else tf.image.resize(image, [size, size])

    dtype = tf.uint8 if size is None else tf.float32
    signature = tf.TensorSpec(shape, dtype)
    images = tf.map_fn(decode, contents, fn_output_signature=signature, parallel_iterations=1)
    # Rounded all at once: one by one it costs as much as the resizing.
    return images if size is None else tf.cast(tf.round(images), tf.uint8)


def chunk_size(shape: Shape) -> int:
    """Records that are read, parsed and decoded together."""
    return max(1, min(_CHUNK, _CHUNK_BYTES // math.prod(shape)))


def decoded(
    shards: Sequence[Shard], shape: Shape, size: int | None = None, parallel: int | None = None
) -> tf.data.Dataset:
    """Reads and decodes every record of the shards once, in chunks.

    Args:
      shards: in order.
      shape: of every image, once it is resized.
      size: see decode_batch.
      parallel: chunks decoded side by side, one for each core if not given; AUTOTUNE leaves that
        and the buffer to tf.data, for comparison.

    Returns:
      a dataset of dicts: start int64 []; image uint8 [n, *shape]; label and fold int64 [n];
      filename string [n].
    """

    def decode(start: tf.Tensor, records: tf.Tensor) -> dict[str, tf.Tensor]:
        examples = parse(records)
        image = decode_batch(examples["image"], shape, size)
        return {**examples, "image": image, "start": start}

    dataset = chunks(shards, chunk_size(shape))
    if parallel == tf.data.AUTOTUNE:
        dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.prefetch(tf.data.AUTOTUNE)
    parallel = parallel or limits.cores()
    dataset = dataset.map(decode, num_parallel_calls=parallel, deterministic=False)
    return dataset.prefetch(2).with_options(options(parallel))
