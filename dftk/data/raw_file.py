"""Raw pixels in a file beside the dataset: written once, checked, read back by row."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import socket
import zlib
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dftk.config import UserError
from dftk.data import limits, pipeline, stores
from dftk.data.catalog import Shard
from dftk.progress import say

_BLOCK, _PIECE = 2**26, 2**20  # bytes under one checksum; bytes read at a time
_FORMAT = 2  # part of the name: for a change of what lies in the folder, or of how it is made


def folder(shards: Sequence[Shard], size: int | None, root: Path | None = None) -> Path:
    """Where the pixels of these shards lie, named by a hash of what they are and what decodes them.

    `tfds build --overwrite` removes it with the dataset; it can be deleted at any time.

    Args:
      shards: as of a split, or less.
      size: see dftk.data.residency.open_examples.
      root: the folder above; `dftk_pixels` beside the shards if not given.
    """
    names = [
        f"{Path(shard.path).name} {shard.length} {stat.st_size} {stat.st_mtime_ns}"
        for shard in shards
        for stat in [Path(shard.path).stat()]
    ]
    maker = f"{_FORMAT} {tf.__version__} {size}"
    key = hashlib.sha256("\n".join([maker, *names]).encode()).hexdigest()[:16]
    return (root or Path(shards[0].path).parent / "dftk_pixels") / key


class RawFile(stores.Store):
    """One record of fixed length a row, in a folder with its columns and checksums.

    Read with pread, not mapped: memory stays the page cache's, which the kernel takes back when it
    is short, and a file that someone cuts is an error and not a crash.

    Args:
      shards, shape, size, progress, root: see dftk.data.residency.open_examples.

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
        if self.path.exists() and (trouble := _trouble(self.path)):
            say(f"{self.path}: {trouble}; written again")
            with _told(self.path):
                shutil.rmtree(self.path)
        if not self.path.exists():
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
        with _replacing(self.path) as temporary:
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
            index = {"bytes": total * self._row, "checksums": _checksums(temporary)}
            (temporary / "index.json").write_text(json.dumps(index))


def _checksums(path: Path) -> list[int]:
    """CRC-32 of the columns, and of each block of the pixels."""
    pixels = path / "pixels.u8"

    def block(start: int) -> int:
        found = 0
        with pixels.open("rb", buffering=0) as file:
            for offset in range(start, start + _BLOCK, _PIECE):
                found = zlib.crc32(os.pread(file.fileno(), _PIECE, offset), found)
        return found

    with futures.ThreadPoolExecutor(limits.cores()) as pool:
        blocks = list(pool.map(block, range(0, pixels.stat().st_size, _BLOCK)))
    return [zlib.crc32((path / "columns.npz").read_bytes()), *blocks]


def _trouble(path: Path) -> str:
    """What is wrong with a folder, in words; reads it all once, as an epoch does."""
    try:
        index: dict[str, Any] = json.loads((path / "index.json").read_text())
        size = (path / "pixels.u8").stat().st_size
        if size != index["bytes"]:
            return f"pixels.u8 has {size} bytes, not {index['bytes']}"
        found, wanted = _checksums(path), index["checksums"]
        if len(found) != len(wanted):
            return f"{len(wanted)} checksums, not {len(found)}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"incomplete ({error})"
    wrong = [number for number, pair in enumerate(zip(found, wanted)) if pair[0] != pair[1]]
    return f"checksum {wrong[0]} of {len(wanted)} differs" if wrong else ""


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--cache=disk: cannot write {path} ({error.strerror}); give another --cache"
        ) from error


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A folder beside `path` that takes its name when the block ends well, and else goes away."""
    start = f".{path.name}.{socket.gethostname()}."
    temporary = path.with_name(f"{start}{os.getpid()}")
    try:
        with _told(path):
            path.parent.mkdir(exist_ok=True)
            for left in path.parent.glob(f"{start}*"):  # by a process that was killed
                if not Path("/proc", left.name.removeprefix(start)).exists() or left == temporary:
                    shutil.rmtree(left)
            temporary.mkdir()
            yield temporary
            for file in temporary.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            try:
                temporary.rename(path)
            except OSError:
                if not path.exists():  # else another process was faster, and wrote the same
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
