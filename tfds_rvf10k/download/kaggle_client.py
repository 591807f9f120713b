"""Downloads the zip archive of a dataset from Kaggle.

An archive gets its name when it is complete and safe to read. Until then it has a hidden name that
does not end in `.zip`, and another download continues it.
"""

import contextlib
import errno
import fcntl
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TextIO

import requests

from tfds_rvf10k.download import kaggle_failures, kagglehub_compat
from tfds_rvf10k.download.kaggle_failures import AGAIN, DownloadFailed
from tfds_rvf10k.sources import archive
from tfds_rvf10k.sources.archive import ArchiveError

_LINE_INTERVAL = 10  # seconds between two lines of progress, where stderr is no terminal


def download(dataset: str, output: str) -> str:
    """Downloads a dataset's archive.

    Args:
      dataset: `owner/name` for the newest version, or `owner/name/versions/N`.
      output: folder; it is made if it does not exist.

    Returns:
      The archive's path, `output/name.zip` or `output/name-vN.zip`. An existing one is kept.

    Raises:
      DownloadFailed: there is no network, no permission, no space, or any other reason outside of
        this program.
    """
    _, name, *version = dataset.split("/")
    path = os.path.join(output, f"{name}-v{version[-1]}.zip" if version else f"{name}.zip")
    if os.path.exists(path):
        _check_existing(path)
        return path
    try:
        os.makedirs(output, exist_ok=True)
        _download(dataset, path)
    except json.JSONDecodeError as error:  # also a requests.RequestException
        raise DownloadFailed(
            f"{dataset}: what answers is not Kaggle ({error})",
            "look for a proxy or a login page between",
        ) from error
    except requests.RequestException as error:  # also an OSError
        credentials = kagglehub_compat.credentials_used()
        raise kaggle_failures.from_request(error, dataset, credentials) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = f"free space, then {AGAIN}" if full else "give another --output"
        raise DownloadFailed(f"{output}: {error.strerror or error}", remedy) from error
    return path


def _check_existing(path: str) -> None:
    """Prints that an archive exists, or raises DownloadFailed if it cannot be read."""
    try:
        archive.open_archive(path).close()
    except ArchiveError as error:
        raise DownloadFailed(error.what, f"remove {path} first") from error
    except OSError as error:
        raise DownloadFailed(str(error), f"remove {path} first") from error
    print(f"{path} is there; remove it to download it again", file=sys.stderr)


def _download(dataset: str, path: str) -> None:
    """Downloads a version to a hidden file, checks it, and gives it its name."""
    owner, name, *given = dataset.split("/")
    unversioned = f"{owner}/{name}"
    page = f"https://www.kaggle.com/datasets/{unversioned}"
    with kagglehub_compat.connect(page) as kaggle:
        version = int(given[-1]) if given else kaggle.newest_version(unversioned)
        folder, file = os.path.split(path)
        part = os.path.join(folder, f".{file}.v{version}.part")
        with _lock(part):
            print(f"{dataset}, version {version}: downloading", file=sys.stderr)
            with _progress_as_lines():
                announced = kaggle.save(unversioned, version, part)
            _check(dataset, part, announced)
            os.replace(part, path)


def _check(dataset: str, part: str, announced: int | None) -> None:
    """Raises DownloadFailed if a download is incomplete, or is no archive that is safe to read.

    Only an incomplete one is kept, for the next download to continue.
    """
    size = os.path.getsize(part)
    if announced and size < announced:
        raise DownloadFailed(f"{dataset}: {size:,} of {announced:,} bytes came", AGAIN)
    # kagglehub appends to its file whatever a server sends that was asked for the rest only.
    if announced and size > announced:
        os.remove(part)
        what = f"what came is not kept: {size:,} bytes where {announced:,} belong"
        raise DownloadFailed(f"{dataset}: {what}", "run it again")
    try:
        archive.open_archive(part).close()
    except ArchiveError as error:
        os.remove(part)
        what = f"{dataset}: what came is not kept: {error.fault}"
        raise DownloadFailed(what, error.remedy) from error


@contextlib.contextmanager
def _lock(part: str) -> Iterator[None]:
    """Locks a file that is downloaded, or raises DownloadFailed. The lock ends with the process."""
    file = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = f"{part}: another process downloads it"
            raise DownloadFailed(what, "wait for it") from error
        try:
            yield
        finally:
            # kagglehub would continue an empty file, with a timeout that a new download lacks.
            if os.path.exists(part) and not os.path.getsize(part):
                os.remove(part)
    finally:
        os.close(file)


class _ThrottledLines(io.TextIOBase):
    """Writes one state of a progress bar at intervals, as a line, and drops the others."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next = time.monotonic() + _LINE_INTERVAL

    def write(self, text: str) -> int:
        if text.strip() and time.monotonic() >= self._next:
            self._out.write(text.strip() + "\n")
            self._out.flush()
            self._next = time.monotonic() + _LINE_INTERVAL
        return len(text)


@contextlib.contextmanager
def _progress_as_lines() -> Iterator[None]:
    """Writes lines instead of kagglehub's progress bar, where stderr is no terminal."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(_ThrottledLines(sys.stderr)):
            yield
