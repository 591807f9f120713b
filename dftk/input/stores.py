"""Where pixels can be kept: each store is filled from the shards once and then read by row."""

import math
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from dftk.input import pipeline
from dftk.input.shards import Shard
from dftk.utils import limits

Progress = Callable[[int], None] | None
_COLUMNS = ("label", "fold", "filename")
_HEADER, _FOOTER = 12, 4  # bytes around a TFRecord's data: its length with a checksum; a checksum


class Store:
    """What the stores have in common: the columns beside the pixels, in the order of the rows."""

    labels: np.ndarray  # int64 [n]
    folds: np.ndarray  # int64 [n]
    filenames: np.ndarray  # object [n] of str
    max_parallel: int  # batches fetched side by side; more gain nothing

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """Pixels of rows, int64 [b], as uint8 [b, h, w, 3]; made to be called in tf.data's map."""
        raise NotImplementedError

    def _take_in(
        self,
        dataset: tf.data.Dataset,
        total: int,
        keep: Callable[[int, dict[str, tf.Tensor]], None],
        progress: Progress,
    ) -> None:
        """Takes chunks in whatever order they come: the columns here, the rest by `keep`."""
        columns = {name: np.empty(total, object) for name in _COLUMNS}
        done = 0
        for chunk in dataset:
            start, size = int(chunk["start"]), len(chunk["label"])
            keep(start, chunk)
            for name, column in columns.items():
                column[start : start + size] = chunk[name].numpy()
            done += size
            if progress:
                progress(done)
        if done != total:
            raise tf.errors.DataLossError(None, None, f"{done} records of {total}")
        self.labels, self.folds = (columns[name].astype(np.int64) for name in ("label", "fold"))
        self.filenames = np.array([name.decode() for name in columns["filename"]], object)


class Memory(Store):
    """Pixels in host memory, decoded once.

    Args:
      shards, shape, size, progress: see dftk.input.residency.open_examples.
      word: rows are padded to whole words of so many bytes.
    """

    max_parallel = 2  # one thread gathers faster than a step computes

    def __init__(
        self,
        shards: Sequence[Shard],
        shape: pipeline.Shape,
        size: int | None,
        progress: Progress,
        word: int = 1,
    ):
        total, used = sum(shard.length for shard in shards), math.prod(shape)
        self.rows = allocate(total, math.ceil(used / word) * word)

        def keep(start: int, chunk: dict[str, tf.Tensor]) -> None:
            pixels = chunk["image"].numpy()
            self.rows[start : start + len(pixels), :used] = pixels.reshape(len(pixels), used)

        self._take_in(pipeline.decoded(shards, shape, size), total, keep, progress)
        # Shared, not copied: filling an array and handing it over takes the memory once; slices of
        # a tf.Variable are fourteen times slower to write.
        self._tensor = tf.experimental.dlpack.from_dlpack(self.rows.__dlpack__())
        self._shape = shape

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """See Store."""
        return tf.reshape(tf.gather(self._tensor, rows), [-1, *self._shape])


class Records(Store):
    """No pixels at all: the place of each record in its shard, read and decoded at every fetch.

    The records' own checksums are checked once, when the store is opened.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        shape: pipeline.Shape,
        size: int | None,
        progress: Progress,
    ):
        self._shape, self._size = shape, size
        self.max_parallel = limits.cores()
        counts = [shard.length for shard in shards]
        self._lengths = np.zeros(sum(counts), np.int64)

        def keep(start: int, chunk: dict[str, tf.Tensor]) -> None:
            lengths = chunk["length"].numpy()
            self._lengths[start : start + len(lengths)] = lengths

        # Reads all, parses all, decodes nothing; TFRecordDataset checks the checksums.
        self._take_in(_undecoded(shards), sum(counts), keep, progress)
        self._paths = np.repeat(np.array([shard.path for shard in shards], object), counts)
        steps = np.split(self._lengths + _HEADER + _FOOTER, np.cumsum(counts)[:-1])
        self._offsets = np.concatenate([np.cumsum(s) - s + _HEADER for s in steps])

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """See Store."""
        examples = pipeline.parse(tf.numpy_function(self._read, [rows], tf.string))
        return pipeline.decode_batch(examples["image"], self._shape, self._size)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        records = np.empty(len(rows), object)
        for position, row in enumerate(rows):
            with open(self._paths[row], "rb", buffering=0) as file:
                record = os.pread(file.fileno(), self._lengths[row], self._offsets[row])
            if len(record) != self._lengths[row]:
                raise OSError(f"{self._paths[row]}: cut while it was in use")
            records[position] = record
        return records


def _undecoded(shards: Sequence[Shard]) -> tf.data.Dataset:
    """Chunks as of pipeline.decoded, but with the records' lengths, int64 [n], for the images."""

    def parse(start: tf.Tensor, records: tf.Tensor) -> dict[str, tf.Tensor]:
        examples = pipeline.parse(records)
        columns = {name: examples[name] for name in _COLUMNS}
        return {**columns, "start": start, "length": tf.strings.length(records)}

    dataset = pipeline.chunks(shards, 32).map(parse, num_parallel_calls=1).prefetch(2)
    return dataset.with_options(pipeline.options(limits.cores()))


def allocate(rows: int, size: int) -> np.ndarray:
    """An empty uint8 array [rows, size] at an address that TensorFlow can share.

    NumPy asks for huge pages, which TensorFlow's allocator does not: ten times fewer page faults.
    """
    alignment = 64  # bytes; Eigen's widest vectors
    memory = np.empty(rows * size + alignment, np.uint8)
    offset = -memory.ctypes.data % alignment
    return memory[offset : offset + rows * size].reshape(rows, size)
