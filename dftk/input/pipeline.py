"""Reads TFRecord files and decodes their images to uint8; dftk.input.batches makes batches.

The host moves uint8 pixels and a few bytes beside them. The device scales and augments the images
(dftk.models.preprocess).
"""

import contextlib
import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dftk.input import data_errors, decoding
from dftk.input.shards import FEATURES, Shard
from dftk.utils import limits

# Records are read, parsed and decoded in chunks. For single records, tf.data's own work costs a
# tenth of the decoding. More than 8 MB of pixels at once do not fit the processor's caches.
_CHUNK, _CHUNK_BYTES = 32, 2**23
_OPEN_FILES = 4  # that are read side by side, for disks of high latency

Shape = tuple[int, int, int]  # height, width, channels


@dataclasses.dataclass(frozen=True)
class ImageRecords:
    """The images of some shards, in the form in which they are stored: all of one shape.

    Row i is record i, counted through the shards in their order.

    Attributes:
      shards: in order.
      shape: of every image, after resizing.
      size: both sides to which each image is resized once it is decoded; None keeps the images as
        they are.
    """

    shards: tuple[Shard, ...]
    shape: Shape
    size: int | None = None

    @property
    def count(self) -> int:
        """The number of images."""
        return sum(shard.length for shard in self.shards)

    @property
    def image_bytes(self) -> int:
        """The size of an image's pixels."""
        return math.prod(self.shape)

    def translate_data_errors(self) -> contextlib.AbstractContextManager[None]:
        """Turns errors over bad data in the block into one DataError; see data_errors."""
        image_size = self.shape[:2] if self.size is None else None
        return data_errors.translate_data_errors(self.shards, image_size)


def open_records(shards: Sequence[Shard], size: int | None) -> ImageRecords:
    """Finds the shape of the images: that of the first one, or that to which all are resized.

    Args:
      shards: of which the first one is read, unless `size` is given.
      size: see ImageRecords.

    Raises:
      DataError: the first record cannot be read.
    """
    if size is not None:
        return ImageRecords(tuple(shards), (size, size, 3), size)
    with data_errors.translate_data_errors(shards[:1], None):
        _, records = next(iter(chunks(shards[:1], 1)))
        contents = parse(records)["image"][0]
        if tf.io.is_jpeg(contents):
            height, width, _ = tf.io.extract_jpeg_shape(contents).numpy()
        else:
            height, width, _ = decoding.decode_image(contents).shape
    return ImageRecords(tuple(shards), (int(height), int(width), 3))


def options(parallel: int) -> tf.data.Options:
    """Returns options that fix the parallelism and turn off the autotuner.

    Measured on RVF10K, this is as fast and takes less memory. With the autotuner, the end of an
    iteration waits up to half a second for the autotuner's thread; an epoch on an accelerator is
    not much longer than that.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    # TensorFlow would start a thread for each core of the machine, whatever the container's quota.
    options.threading.private_threadpool_size = parallel
    # They find nothing to optimize in these graphs, and take 5 ms at the start of each epoch.
    options.experimental_optimization.apply_default_optimizations = False
    # Elements are made side by side; splitting the work on one element gains nothing.
    options.threading.max_intra_op_parallelism = 1
    options.deterministic = True
    return options


def chunks(shards: Sequence[Shard], size: int) -> tf.data.Dataset:
    """Reads `length` records of each shard, up to `size` at a time, from four files side by side.

    Chunks come in any order, and each says where it belongs. So a slow file holds nothing up, and
    no file is read ahead of need.

    Returns:
      a dataset of (start, records). start: int64 [], the row of the first record. records: string
      [<= size], serialized tf.train.Example protos.
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
    """Parses records, string [n], into the columns of FEATURES; images are still encoded."""
    return tf.io.parse_example(records, FEATURES)


def decode_batch(contents: tf.Tensor, shape: Shape, size: int | None) -> tf.Tensor:
    """Decodes image files to images of one shape; fails if an image has another shape.

    Args:
      contents: string [n], image files.
      shape: of every image in the result.
      size: both sides to which images are resized, bilinear as the model resizes, and rounded to
        whole levels; None keeps them as they are.

    Returns:
      uint8 [n, *shape].
    """

    def decode(file: tf.Tensor) -> tf.Tensor:
        image = decoding.decode_image(file)
        return image if size is None else tf.image.resize(image, [size, size])

    dtype = tf.uint8 if size is None else tf.float32
    signature = tf.TensorSpec(shape, dtype)
    images = tf.map_fn(decode, contents, fn_output_signature=signature, parallel_iterations=1)
    # All images are rounded at once: rounding each by itself costs as much as resizing it.
    return images if size is None else tf.cast(tf.round(images), tf.uint8)


def chunk_size(shape: Shape) -> int:
    """Returns how many records are read, parsed and decoded together."""
    return max(1, min(_CHUNK, _CHUNK_BYTES // math.prod(shape)))


def decoded_chunks(records: ImageRecords, parallel: int | None = None) -> tf.data.Dataset:
    """Reads and decodes every record once, in chunks that come in any order.

    Args:
      records: to decode.
      parallel: chunks that are decoded side by side, one for each core if not given. AUTOTUNE
        leaves that and the prefetching to tf.data, for comparison.

    Returns:
      a dataset of dicts. start: int64 [], the row of the first image. image: uint8 [n, *shape].
      label, fold: int64 [n]. filename: string [n].
    """

    def decode(start: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = parse(serialized)
        image = decode_batch(columns["image"], records.shape, records.size)
        return {**columns, "image": image, "start": start}

    dataset = chunks(records.shards, chunk_size(records.shape))
    if parallel == tf.data.AUTOTUNE:
        dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        return dataset.prefetch(tf.data.AUTOTUNE)
    parallel = parallel or limits.cores()
    dataset = dataset.map(decode, num_parallel_calls=parallel, deterministic=False)
    return dataset.prefetch(2).with_options(options(parallel))


def undecoded_chunks(shards: Sequence[Shard]) -> tf.data.Dataset:
    """Reads and parses every record once, and checks its CRC, but decodes no image.

    Returns:
      a dataset of dicts as of decoded_chunks, but with the sizes of the records in bytes, length:
      int64 [n], in place of the images.
    """

    def columns(start: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = parse(serialized)
        del parsed["image"]
        return {**parsed, "start": start, "length": tf.strings.length(serialized)}

    dataset = chunks(shards, _CHUNK).map(columns, num_parallel_calls=1).prefetch(2)
    return dataset.with_options(options(limits.cores()))
