"""A file that is written from its start to its end, by as many processes as that takes."""

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
    """A file that is open inside a `with` block, and a note beside it of how far it is written.

    If a process is stopped or killed, or loses power, the next one resumes at the last note,
    provided that the note's checksum agrees with the file.

    Args:
      path: of the file.
      note: path of the note.
      size: bytes that the file will have. They are reserved, so that a full disk shows at once.
      plan: how the contents are cut into pieces. A file with another plan is written from its
        start.

    Attributes:
      count: number of pieces in the file.
      bytes: size of these pieces.
      seconds: that writing them took, in all processes together.

    Raises:
      OSError: the file cannot be written.
    """

    interval = 20.0  # seconds between two notes

    def __init__(self, path: Path, note: Path, size: int, plan: str):
        self._path, self._note, self._size, self._plan = path, note, size, plan
        self.count = self.bytes = self._checksum = 0
        self.seconds = 0.0

    def __enter__(self) -> "ResumableFile":
        self._file = self._path.open("r+b" if self._path.exists() else "w+b")
        size_before = os.fstat(self._file.fileno()).st_size
        try:
            os.posix_fallocate(self._file.fileno(), 0, self._size)
        except OSError:
            os.ftruncate(self._file.fileno(), size_before)  # gives a full disk its space back
            self._file.close()
            raise
        # Without a note, or with a note of another format, the file is written from its start.
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            self._resume(json.loads(self._note.read_text()))
        self._file.seek(self.bytes)
        self._started = self._note_time = time.perf_counter()
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
        """Writes the next piece."""
        self._file.write(piece)
        self._checksum = zlib.crc32(piece, self._checksum)
        self.bytes += piece.nbytes
        self.count += 1
        if time.perf_counter() - self._note_time > self.interval:
            self._write_note()

    def _resume(self, note: dict) -> None:
        """Takes over what an earlier process wrote, if the note and the file agree."""
        if note["plan"] != self._plan:
            return
        found = disk_cache.checksum(self._file.fileno(), 0, note["bytes"])
        if found == note["checksum"]:
            self.count, self.bytes, self.seconds = note["count"], note["bytes"], note["seconds"]
            self._checksum = found

    def _write_note(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())  # the pieces are in storage before the note counts them
        now = time.perf_counter()
        self.seconds += now - self._started
        self._started = self._note_time = now
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
