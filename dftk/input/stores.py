"""Stores of pixels. Each is filled from the shards once and then read by row."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.input import pipeline
from dftk.input.pipeline import ImageRecords
from dftk.utils import limits

Progress = Callable[[int], None] | None  # called with the number of examples read so far
WriteChunk = Callable[[int, dict[str, tf.Tensor]], None]  # first row, and the chunk's columns
_COLUMNS = ("label", "fold", "filename")
_HEADER, _FOOTER = 12, 4  # bytes around a TFRecord's data: its length with a checksum; a checksum


class Store:
    """What all stores have in common: the columns beside the pixels, in the order of the rows.

    Attributes:
      labels: int64 [n].
      folds: int64 [n].
      filenames: object [n] of str.
      max_parallel: batches that are worth fetching side by side.
    """

    labels: np.ndarray
    folds: np.ndarray
    filenames: np.ndarray
    max_parallel: int

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the pixels of rows, int64 [b], as uint8 [b, h, w, 3], inside a tf.data map."""
        raise NotImplementedError

    def _fill(
        self, dataset: tf.data.Dataset, count: int, write: WriteChunk, progress: Progress
    ) -> None:
        """Iterates over chunks, which come in any order, and keeps all that they hold.

        Args:
          dataset: see pipeline.decoded_chunks.
          count: examples in all.
          write: keeps what is not a column of _COLUMNS.
          progress: see Progress.

        Raises:
          tf.errors.DataLossError: there are fewer examples.
        """
        columns = {name: np.empty(count, object) for name in _COLUMNS}
        done = 0
        for chunk in dataset:
            start, size = int(chunk["start"]), len(chunk["label"])
            write(start, chunk)
            for name, column in columns.items():
                column[start : start + size] = chunk[name].numpy()
            done += size
            if progress:
                progress(done)
        if done != count:
            raise tf.errors.DataLossError(None, None, f"{done} records of {count}")
        self.labels, self.folds = (columns[name].astype(np.int64) for name in ("label", "fold"))
        self.filenames = np.array([name.decode() for name in columns["filename"]], object)


class MemoryStore(Store):
    """Pixels in host memory, decoded once.

    Args:
      records: to decode.
      progress: see Progress.
      word_bytes: rows of pixels are padded to a multiple of so many bytes.

    Attributes:
      pixels: uint8 [n, padded bytes of an image].
    """

    max_parallel = 2  # one thread gathers faster than a step computes

    def __init__(self, records: ImageRecords, progress: Progress = None, word_bytes: int = 1):
        self._shape, used = records.shape, records.image_bytes
        self.pixels = allocate(records.count, -(-used // word_bytes) * word_bytes)

        def write(start: int, chunk: dict[str, tf.Tensor]) -> None:
            images = chunk["image"].numpy()
            self.pixels[start : start + len(images), :used] = images.reshape(len(images), used)

        self._fill(pipeline.decoded_chunks(records), records.count, write, progress)
        # Shared, not copied: the memory is needed once only. Writing slices of a tf.Variable
        # instead is fourteen times slower.
        self._tensor = tf.experimental.dlpack.from_dlpack(self.pixels.__dlpack__())

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """See Store."""
        return tf.reshape(tf.gather(self._tensor, rows), [-1, *self._shape])


class RecordStore(Store):
    """No pixels, but the place of each record in its shard; every fetch reads and decodes again.

    The CRCs of the records are checked once, when the store is opened.

    Args:
      records: to read.
      progress: see Progress.
    """

    def __init__(self, records: ImageRecords, progress: Progress = None):
        self._shape, self._size = records.shape, records.size
        self.max_parallel = limits.cores()
        counts = [shard.length for shard in records.shards]
        self._lengths = np.zeros(records.count, np.int64)

        def write(start: int, chunk: dict[str, tf.Tensor]) -> None:
            lengths = chunk["length"].numpy()
            self._lengths[start : start + len(lengths)] = lengths

        self._fill(pipeline.undecoded_chunks(records.shards), records.count, write, progress)
        self._paths = np.repeat(np.array([s.path for s in records.shards], object), counts)
        strides = np.split(self._lengths + _HEADER + _FOOTER, np.cumsum(counts)[:-1])
        self._offsets = np.concatenate([np.cumsum(s) - s + _HEADER for s in strides])

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """See Store."""
        columns = pipeline.parse(tf.numpy_function(self._read, [rows], tf.string))
        return pipeline.decode_batch(columns["image"], self._shape, self._size)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        records = np.empty(len(rows), object)
        for position, row in enumerate(rows):
            with open(self._paths[row], "rb", buffering=0) as file:
                record = os.pread(file.fileno(), self._lengths[row], self._offsets[row])
            if len(record) != self._lengths[row]:
                raise OSError(f"{self._paths[row]}: cut while it was in use")
            records[position] = record
        return records


def allocate(rows: int, size: int) -> np.ndarray:
    """Returns uninitialized memory, uint8 [rows, size], at an address that TensorFlow can share.

    NumPy asks for huge pages and TensorFlow's allocator does not: ten times fewer page faults.
    """
    alignment = 64  # bytes, as Eigen's widest vectors need
    memory = np.empty(rows * size + alignment, np.uint8)
    offset = -memory.ctypes.data % alignment
    return memory[offset : offset + rows * size].reshape(rows, size)
