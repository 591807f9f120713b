"""Raw pixels in a file beside the dataset: written once, checked, and read by row."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import disk_cache, pipeline, stores
from dftk.input.pipeline import ImageRecords
from dftk.input.shards import Shard
from dftk.utils import limits

_COLUMNS_FILE, _PIXELS_FILE = "columns.npz", "pixels.u8"
_FORMAT = 2  # part of the cache's key; changes with the contents of the folder
_REQUESTED_BY, _REMEDY = "--cache=disk", "give another --cache"


def cache_path(shards: Sequence[Shard], size: int | None, root: Path | None = None) -> Path:
    """Returns the folder that the pixels of these shards are stored in, whether it exists or not.

    Args:
      shards: of a split, or a part of them.
      size: see pipeline.ImageRecords.
      root: the folder above; `dftk_pixels` beside the shards if not given.
    """
    return disk_cache.cache_path(shards, f"{_FORMAT} {size}", "pixels", root)


class RawFileStore(stores.Store):
    """One row of fixed length for each image, in a folder with the columns and the checksums.

    Rows are read with pread, and the file is not mapped. So the memory belongs to the page cache,
    which the kernel shrinks when memory is short, and a file that someone cuts causes an error and
    no crash.

    Args:
      records: to decode if the folder is not there yet.
      progress: see stores.Progress.
      root: see cache_path.

    Raises:
      CacheError: the folder cannot be written.
    """

    def __init__(
        self,
        records: ImageRecords,
        progress: stores.Progress = None,
        root: Path | None = None,
    ):
        self._shape, self._row_bytes = records.shape, records.image_bytes
        self.max_parallel = limits.cores()
        self.path = cache_path(records.shards, records.size, root)
        self._cache = disk_cache.DiskCache(
            self.path, (_COLUMNS_FILE, _PIXELS_FILE), _REQUESTED_BY, _REMEDY
        )
        if not self._cache.validate():
            self._write(records, progress)
        with np.load(self.path / _COLUMNS_FILE, allow_pickle=False) as columns:
            self.labels, self.folds = columns["labels"], columns["folds"]
            self.filenames = columns["filenames"].astype(object)
        self._file = (self.path / _PIXELS_FILE).open("rb", buffering=0)

    def fetch(self, rows: tf.Tensor) -> tf.Tensor:
        """See Store."""
        pixels = tf.numpy_function(self._read, [rows], tf.uint8)
        return tf.reshape(pixels, [-1, *self._shape])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        descriptor, size = self._file.fileno(), self._row_bytes
        for row in rows:  # the kernel reads the whole batch at once, not one row after the other
            os.posix_fadvise(descriptor, row * size, size, os.POSIX_FADV_WILLNEED)
        pixels = stores.allocate(len(rows), size)
        for position, row in enumerate(rows):
            if os.preadv(descriptor, [pixels[position]], row * size) != size:
                raise OSError(f"{self._file.name}: cut while it was in use")
        return pixels

    def _write(self, records: ImageRecords, progress: stores.Progress) -> None:
        with self._cache.atomic_write() as folder:
            with (folder / _PIXELS_FILE).open("wb", buffering=0) as file:

                def write(start: int, chunk: dict[str, tf.Tensor]) -> None:
                    pixels = chunk["image"].numpy()
                    if os.pwrite(file.fileno(), pixels, start * self._row_bytes) != pixels.nbytes:
                        raise OSError(errno.ENOSPC, "written in part only")

                # Reserves the space, so that a full disk shows at once.
                os.posix_fallocate(file.fileno(), 0, records.count * self._row_bytes)
                self._fill(pipeline.decoded_chunks(records), records.count, write, progress)
            np.savez(
                folder / _COLUMNS_FILE,
                labels=self.labels,
                folds=self.folds,
                filenames=self.filenames.astype(str),
            )
