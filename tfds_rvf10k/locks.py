"""One process at a time: a file's lock, which the kernel gives back when its process ends."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path, waiting: str) -> Iterator[None]:
    """Holds the lock of a file in the block, where the file may be removed, and its folder too.

    It needs a filesystem that has locks: local ones do, network ones mostly do.

    Args:
      path: of the file; made if it is not there, with its folder.
      waiting: said on stderr if another process holds it.

    Raises:
      OSError: the folder cannot be written, or has no locks.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # whoever held it has just removed the folder
            continue
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(waiting, file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held it may have removed it: a third one has then made and locked another.
            if _is(path, file):
                yield
                return
        finally:
            os.close(file)


def _is(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
