"""Folders beside a dataset that hold what was computed from it: written once, checked, read often.

`tfds build --overwrite` removes them with the dataset; they can be deleted at any time.
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

_BLOCK, _PIECE = 2**26, 2**20  # bytes under one checksum; bytes read at a time


def folder(shards: Sequence[Shard], maker: str, kind: str, root: Path | None = None) -> Path:
    """Where what was made of these shards lies, named by a hash of them and of what makes it.

    Args:
      shards: as of a split, or less.
      maker: all that decides what is made of them, beside TensorFlow's version.
      kind: of the contents; the folder above is `dftk_<kind>` beside the shards.
      root: the folder above, if another one.
    """
    names = [
        f"{Path(shard.path).name} {shard.length} {stat.st_size} {stat.st_mtime_ns}"
        for shard in shards
        for stat in [Path(shard.path).stat()]
    ]
    key = hashlib.sha256("\n".join([maker, tf.__version__, *names]).encode()).hexdigest()[:16]
    return (root or Path(shards[0].path).parent / f"dftk_{kind}") / key


@dataclasses.dataclass(frozen=True)
class DiskCache:
    """A folder, and what to tell the user where it cannot be written.

    Attributes:
      path: of the folder.
      files: names of what lies in it.
      flag: that asks for it, with its value.
      remedy: what to do.
    """

    path: Path
    files: tuple[str, ...]
    flag: str
    remedy: str

    def usable(self) -> bool:
        """Whether the folder is there and whole; reads it all once, and removes it if damaged.

        Raises:
          UserError: it is damaged and cannot be removed.
        """
        if self.path.exists() and (trouble := _trouble(self.path, self.files)):
            say(f"{self.path}: {trouble}; written again")
            with self._told():
                shutil.rmtree(self.path)
        return self.path.exists()

    @contextlib.contextmanager
    def written(self) -> Iterator[Path]:
        """A folder beside `path` that takes its name when the block ends well, and else goes away.

        The block writes `files`.

        Raises:
          UserError: it cannot be written.
        """
        start = f".{self.path.name}.{socket.gethostname()}."
        temporary = self.path.with_name(f"{start}{os.getpid()}")
        try:
            with self._told():
                self.path.parent.mkdir(exist_ok=True)
                for left in self.path.parent.glob(f"{start}*"):  # by a process that was killed
                    process = Path("/proc", left.name.removeprefix(start))
                    if not process.exists() or left == temporary:
                        shutil.rmtree(left)
                temporary.mkdir()
                yield temporary
                self._finish(temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @contextlib.contextmanager
    def continued(self) -> Iterator[Path]:
        """As `written`, but the folder stays where the block ends badly: the next call gives it.

        To be called inside `alone`; of another machine it is another folder.

        Raises:
          UserError: as `written`.
        """
        with self._told():
            self._begun.parent.mkdir(exist_ok=True)
            self._begun.mkdir(exist_ok=True)
            yield self._begun
            for left in set(self._begun.iterdir()) - {self._begun / name for name in self.files}:
                left.unlink()  # by a process that was killed
            self._finish(self._begun)
            self.forget_begun()

    def forget_begun(self) -> None:
        """Removes what `continued` has left here, for what is whole is there."""
        shutil.rmtree(self._begun, ignore_errors=True)

    @property
    def _begun(self) -> Path:
        # Not a name that `written` takes for a temporary folder of its own.
        return self.path.with_name(f".begun.{self.path.name}.{socket.gethostname()}")

    def _finish(self, temporary: Path) -> None:
        _seal(temporary, self.files)
        try:
            temporary.rename(self.path)
        except OSError:
            if not self.path.exists():  # else another process was faster, to the same end
                raise

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Lets one process of this machine into the block at a time; the others wait.

        Raises:
          UserError: the folder above cannot be written.
        """
        file = self.path.with_name(f".{self.path.name}.lock")
        with contextlib.ExitStack() as lock:
            with self._told():
                waiting = f"{self.path}: another process is writing it; waiting"
                lock.enter_context(locks.file_lock(file, waiting))
            yield

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.flag}: cannot write {self.path} ({error.strerror}); {self.remedy}"
            ) from error


def _seal(path: Path, files: Sequence[str]) -> None:
    """Adds the checksums; all is in storage then."""
    size = (path / files[-1]).stat().st_size
    index = {"bytes": size, "checksums": _checksums(path, files)}
    (path / "index.json").write_text(json.dumps(index))
    for file in path.iterdir():
        with file.open("rb") as complete:
            os.fsync(complete.fileno())


def checksum(descriptor: int, start: int, stop: int) -> int:
    """CRC-32 of an open file from byte `start` to byte `stop`, or to its end."""
    found = 0
    for offset in range(start, stop, _PIECE):
        found = zlib.crc32(os.pread(descriptor, min(_PIECE, stop - offset), offset), found)
    return found


def _checksums(path: Path, files: Sequence[str]) -> list[int]:
    """CRC-32 of each block of each file."""

    def block(place: tuple[Path, int]) -> int:
        name, start = place
        with name.open("rb", buffering=0) as file:
            return checksum(file.fileno(), start, start + _BLOCK)

    sizes = [(path / name, (path / name).stat().st_size) for name in files]
    places = [(name, start) for name, size in sizes for start in range(0, size, _BLOCK)]
    with futures.ThreadPoolExecutor(limits.cores()) as pool:
        return list(pool.map(block, places))


def _trouble(path: Path, files: Sequence[str]) -> str:
    """What is wrong with a folder, in words."""
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
