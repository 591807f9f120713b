"""A lock that one process at a time can hold. The kernel releases it when its process ends.

filelock is not used: it does not survive the removal of the lock's folder, which a builder that has
built nothing leaves behind otherwise.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def file_lock(path: Path, waiting: str) -> Iterator[None]:
    """Holds the lock of a file. Inside the block the file and its folder may be removed.

    The filesystem must support flock. Local ones do, network filesystems mostly do.

    Args:
      path: the file; it is made if it does not exist, with its folder.
      waiting: printed on stderr if another process holds the lock.

    Raises:
      OSError: the folder cannot be written, or its filesystem has no locks.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the last holder has just removed the folder
            continue
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(waiting, file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            # The last holder may have removed the file, and a third process may have made and
            # locked another one.
            if _is_same_file(path, file):
                yield
                return
        finally:
            os.close(file)


def _is_same_file(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
