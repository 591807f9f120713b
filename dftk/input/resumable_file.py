"""A file that is written from its start to its end, however many processes that takes."""

import contextlib
import json
import os
import time
import zlib
from pathlib import Path
from types import TracebackType

from dftk.input import disk_cache
from dftk.utils.files import write_json


class ResumableFile:
    """The file inside a `with` block, and a note beside it of how much there is.

    What a process that was stopped, killed or cut off from power has left is gone on with, as far
    as the last note tells and its checksum proves.

    Args:
      path: of the file.
      note: of the note.
      size: bytes that the file will have; they are reserved, so that a full disk shows at once.
      plan: how it is cut into pieces; one that was cut otherwise is written from its start.

    Attributes:
      count, bytes: pieces that are in the file, and their size.
      seconds: that they took, whichever process wrote them.

    Raises:
      OSError: it cannot be written.
    """

    interval = 20.0  # seconds between two notes

    def __init__(self, path: Path, note: Path, size: int, plan: str):
        self._path, self._note, self._size, self._plan = path, note, size, plan
        self.count = self.bytes = self._checksum = 0
        self.seconds = 0.0

    def __enter__(self) -> "ResumableFile":
        self._file = self._path.open("r+b" if self._path.exists() else "w+b")
        before = os.fstat(self._file.fileno()).st_size
        try:
            os.posix_fallocate(self._file.fileno(), 0, self._size)
        except OSError:
            os.ftruncate(self._file.fileno(), before)  # a full disk has the part back
            self._file.close()
            raise
        # No note, or none of ours: from the start.
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            self._go_on(json.loads(self._note.read_text()))
        self._file.seek(self.bytes)
        self._began = self._noted = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            self._write_note()
        if kind is None and self.bytes != self._size:
            raise RuntimeError(f"{self._path} ends after {self.bytes} of {self._size} bytes")

    def append(self, piece: memoryview) -> None:
        """Adds a piece."""
        self._file.write(piece)
        self._checksum = zlib.crc32(piece, self._checksum)
        self.bytes += piece.nbytes
        self.count += 1
        if time.perf_counter() - self._noted > self.interval:
            self._write_note()

    def _go_on(self, note: dict) -> None:
        if note["plan"] != self._plan:
            return
        found = disk_cache.checksum(self._file.fileno(), 0, note["bytes"])
        if found == note["checksum"]:
            self.count, self.bytes, self.seconds = note["count"], note["bytes"], note["seconds"]
            self._checksum = found

    def _write_note(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())  # before the note that tells of it
        now = time.perf_counter()
        self.seconds += now - self._began
        self._began = self._noted = now
        write_json(
            self._note,
            {
                "plan": self._plan,
                "count": self.count,
                "bytes": self.bytes,
                "checksum": self._checksum,
                "seconds": self.seconds,
            },
        )
