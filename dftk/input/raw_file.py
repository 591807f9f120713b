"""Raw pixels in a file beside the dataset: written once, checked, read back by row."""

import errno
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import disk_cache, pipeline, stores
from dftk.input.shards import Shard
from dftk.utils import limits

_FILES = ("columns.npz", "pixels.u8")
_FORMAT = 2  # part of the name: for a change of what lies in the folder, or of how it is made


def folder(shards: Sequence[Shard], size: int | None, root: Path | None = None) -> Path:
    """Where the pixels of these shards lie; see dftk.input.disk_cache.

    Args:
      shards: as of a split, or less.
      size: see dftk.input.residency.open_examples.
      root: the folder above; `dftk_pixels` beside the shards if not given.
    """
    return disk_cache.folder(shards, f"{_FORMAT} {size}", "pixels", root)


class RawFile(stores.Store):
    """One record of fixed length a row, in a folder with its columns and checksums.

    Read with pread, not mapped: memory stays the page cache's, which the kernel takes back when it
    is short, and a file that someone cuts is an error and not a crash.

    Args:
      shards, shape, size, progress, root: see dftk.input.residency.open_examples.

    Raises:
      UserError: the folder cannot be written.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        shape: pipeline.Shape,
        size: int | None,
        progress: stores.Progress,
        root: Path | None = None,
    ):
        self._shape, self._row = shape, math.prod(shape)
        self.max_parallel = limits.cores()
        self.path = folder(shards, size, root)
        self._cache = disk_cache.DiskCache(
            self.path, _FILES, "--cache=disk", "give another --cache"
        )
        if not self._cache.usable():
            self._write(shards, size, progress)
        with np.load(self.path / "columns.npz", allow_pickle=False) as columns:
            self.labels, self.folds = columns["labels"], columns["folds"]
            self.filenames = columns["filenames"].astype(object)
        self._file = (self.path / "pixels.u8").open("rb", buffering=0)

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """See Store."""
        pixels = tf.numpy_function(self._read, [rows], tf.uint8)
        return tf.reshape(pixels, [-1, *self._shape])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        descriptor, size = self._file.fileno(), self._row
        for row in rows:  # all of the batch asked for at once, not one after the other
            os.posix_fadvise(descriptor, row * size, size, os.POSIX_FADV_WILLNEED)
        pixels = stores.allocate(len(rows), size)
        for position, row in enumerate(rows):
            if os.preadv(descriptor, [pixels[position]], row * size) != size:
                raise OSError(f"{self._file.name}: cut while it was in use")
        return pixels

    def _write(self, shards: Sequence[Shard], size: int | None, progress: stores.Progress) -> None:
        total = sum(shard.length for shard in shards)
        with self._cache.written() as temporary:
            with (temporary / "pixels.u8").open("wb", buffering=0) as file:

                def keep(start: int, chunk: dict[str, tf.Tensor]) -> None:
                    pixels = chunk["image"].numpy()
                    if os.pwrite(file.fileno(), pixels, start * self._row) != pixels.nbytes:
                        raise OSError(errno.ENOSPC, "written in part only")

                os.posix_fallocate(file.fileno(), 0, total * self._row)  # a full disk shows now
                dataset = pipeline.decoded(shards, self._shape, size)
                self._take_in(dataset, total, keep, progress)
            np.savez(
                temporary / "columns.npz",
                labels=self.labels,
                folds=self.folds,
                filenames=self.filenames.astype(str),
            )
