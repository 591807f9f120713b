"""Caches on disk: folders beside a dataset that hold what was computed from it.

A folder is written once as a whole, and all of it is checked before it is read. `tfds build
--overwrite` removes the folders with the dataset. They can be deleted at any time.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import socket
import zlib
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import tensorflow as tf

from dftk.input.shards import Shard
from dftk.utils import limits
from dftk.utils.errors import UserError
from dftk.utils.progress import say
from tfds_rvf10k import locks

_CHECKSUM_BYTES = 2**26  # bytes under one checksum
_READ_BYTES = 2**20  # bytes read at a time


def cache_path(shards: Sequence[Shard], recipe: str, kind: str, root: Path | None = None) -> Path:
    """Returns the folder for what is computed from these shards, whether it exists or not.

    Its name is a hash of the shards' names, lengths, sizes and times, of the recipe and of
    TensorFlow's version.

    Args:
      shards: of a split, or a part of them.
      recipe: all that decides what is computed, except TensorFlow's version.
      kind: of the contents.
      root: the folder above; `dftk_<kind>` beside the shards if not given.
    """
    files = [
        f"{Path(shard.path).name} {shard.length} {stat.st_size} {stat.st_mtime_ns}"
        for shard in shards
        for stat in [Path(shard.path).stat()]
    ]
    key = hashlib.sha256("\n".join([recipe, tf.__version__, *files]).encode()).hexdigest()[:16]
    return (root or Path(shards[0].path).parent / f"dftk_{kind}") / key


class CacheError(UserError):
    """A cache's folder cannot be written. The text is one line.

    Attributes:
      requested_by: the flag that asks for the cache, with its value.
      path: of the folder.
      reason: of the operating system.
      remedy: what to do.
    """

    def __init__(self, requested_by: str, path: Path, reason: str, remedy: str):
        super().__init__(requested_by, path, reason, remedy)
        self.requested_by, self.path, self.reason, self.remedy = requested_by, path, reason, remedy

    def __str__(self) -> str:
        return f"{self.requested_by}: cannot write {self.path} ({self.reason}); {self.remedy}"


@dataclasses.dataclass(frozen=True)
class DiskCache:
    """A folder of files that is written once as a whole, and checked before it is read.

    Attributes:
      path: of the folder; see cache_path.
      files: names of the files in it.
      requested_by: the flag that asks for the cache, with its value, for CacheError.
      remedy: what to do if the folder cannot be written, for CacheError.
    """

    path: Path
    files: tuple[str, ...]
    requested_by: str
    remedy: str

    def validate(self) -> bool:
        """Returns whether the folder exists and is whole, and removes a damaged one.

        Reads all files once.

        Raises:
          CacheError: the folder is damaged and cannot be removed.
        """
        if self.path.exists() and (damage := _find_damage(self.path, self.files)):
            say(f"{self.path}: {damage}; written again")
            with self._translate_os_errors():
                shutil.rmtree(self.path)
        return self.path.exists()

    @contextlib.contextmanager
    def atomic_write(self) -> Iterator[Path]:
        """Gives the block a temporary folder to write `files` into.

        The temporary folder becomes `path` when the block succeeds. It is removed when the block
        fails.

        Raises:
          CacheError: the folder cannot be written.
        """
        prefix = f".{self.path.name}.{socket.gethostname()}."
        temporary = self.path.with_name(f"{prefix}{os.getpid()}")
        try:
            with self._translate_os_errors():
                self.path.parent.mkdir(exist_ok=True)
                for left in self.path.parent.glob(f"{prefix}*"):  # by processes that were killed
                    process = Path("/proc", left.name.removeprefix(prefix))
                    if not process.exists() or left == temporary:
                        shutil.rmtree(left)
                temporary.mkdir()
                yield temporary
                self._publish(temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @contextlib.contextmanager
    def resumable_write(self) -> Iterator[Path]:
        """Gives the block a folder that outlives a block that fails; the next call gives it again.

        Otherwise as `atomic_write`. Call it while holding `lock`. Each machine has its own folder.

        Raises:
          CacheError: the folder cannot be written.
        """
        with self._translate_os_errors():
            self._partial.parent.mkdir(exist_ok=True)
            self._partial.mkdir(exist_ok=True)
            yield self._partial
            wanted = {self._partial / name for name in self.files}
            for left in set(self._partial.iterdir()) - wanted:  # by processes that were killed
                left.unlink()
            self._publish(self._partial)
            self.remove_partial()

    def remove_partial(self) -> None:
        """Removes what a failed `resumable_write` left; call it when the whole folder exists."""
        shutil.rmtree(self._partial, ignore_errors=True)

    @property
    def _partial(self) -> Path:
        # atomic_write must not take this name for a temporary folder of its own.
        return self.path.with_name(f".begun.{self.path.name}.{socket.gethostname()}")

    def _publish(self, temporary: Path) -> None:
        """Writes the index and gives the folder its name."""
        _write_index(temporary, self.files)
        try:
            temporary.rename(self.path)
        except OSError:
            if not self.path.exists():  # else another process was faster and wrote the same
                raise

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lets one process of this machine into the block at a time; the others wait.

        Raises:
          CacheError: the folder above cannot be written.
        """
        file = self.path.with_name(f".{self.path.name}.lock")
        with contextlib.ExitStack() as stack:
            with self._translate_os_errors():
                waiting = f"{self.path}: another process is writing it; waiting"
                stack.enter_context(locks.file_lock(file, waiting))
            yield

    @contextlib.contextmanager
    def _translate_os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = str(error.strerror)
            raise CacheError(self.requested_by, self.path, reason, self.remedy) from error


def _write_index(path: Path, files: Sequence[str]) -> None:
    """Writes the checksums of the files, and makes sure that all files are in storage."""
    size = (path / files[-1]).stat().st_size
    index = {"bytes": size, "checksums": _checksums(path, files)}
    (path / "index.json").write_text(json.dumps(index))
    for file in path.iterdir():
        with file.open("rb") as complete:
            os.fsync(complete.fileno())


def checksum(descriptor: int, start: int, stop: int) -> int:
    """Returns the CRC-32 of an open file from byte `start` to byte `stop`, or to its end."""
    found = 0
    for offset in range(start, stop, _READ_BYTES):
        found = zlib.crc32(os.pread(descriptor, min(_READ_BYTES, stop - offset), offset), found)
    return found


def _checksums(path: Path, files: Sequence[str]) -> list[int]:
    """Returns the CRC-32 of each block of each file."""

    def block(place: tuple[Path, int]) -> int:
        name, start = place
        with name.open("rb", buffering=0) as file:
            return checksum(file.fileno(), start, start + _CHECKSUM_BYTES)

    sizes = [(path / name, (path / name).stat().st_size) for name in files]
    places = [(name, start) for name, size in sizes for start in range(0, size, _CHECKSUM_BYTES)]
    with futures.ThreadPoolExecutor(limits.cores()) as pool:
        return list(pool.map(block, places))


def _find_damage(path: Path, files: Sequence[str]) -> str:
    """Returns what is wrong with a folder, in words; "" if it is whole."""
    try:
        index: dict[str, Any] = json.loads((path / "index.json").read_text())
        size = (path / files[-1]).stat().st_size
        if size != index["bytes"]:
            return f"{files[-1]} has {size} bytes, not {index['bytes']}"
        found, wanted = _checksums(path, files), index["checksums"]
        if len(found) != len(wanted):
            return f"{len(wanted)} checksums, not {len(found)}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"incomplete ({error})"
    wrong = [number for number, pair in enumerate(zip(found, wanted)) if pair[0] != pair[1]]
    return f"checksum {wrong[0]} of {len(wanted)} differs" if wrong else ""
