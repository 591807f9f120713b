"""Downloads a dataset's zip from Kaggle, where `tfds build` reads it in place.

    python -m tfds_rvf10k.kaggle --output=DIR
    tfds build tfds_rvf10k --manual_dir=DIR/rvf10k.zip

Opt-in: wants `kagglehub`, Kaggle's own client, which finds credentials, resumes and checks. Its
`dataset_download` unpacks what it gets and keeps no zip; the two functions below it that talk to
Kaggle are used instead. They are the same from kagglehub 0.4 to 1.0.
"""

import argparse
import contextlib
import errno
import fcntl
import io
import json
import logging
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import requests

from tfds_rvf10k.download.kaggle_failures import AGAIN, TOKEN, explain
from tfds_rvf10k.sources import archive

DATASET = "sachchitkunichetty/rvf10k"
REQUIREMENT = "kagglehub>=0.4,<2"
_LINE_EVERY = 10  # seconds, where there is no terminal for a bar


class DownloadFailed(Exception):
    """Why there is no download, and after a semicolon what to do; one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Downloads, and prints the command that comes next; 0, or 1 after a line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m tfds_rvf10k.kaggle",
        description="Downloads a dataset's zip from Kaggle; `tfds build` reads it in place.",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the zip")
    parser.add_argument(
        "--dataset", default=DATASET, type=_handle, metavar="OWNER/NAME[/versions/N]",
        help="as in the address of its page (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args(argv)
    try:
        path = download(options.dataset, options.output)
    except DownloadFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.dataset}: stopped; {AGAIN}", file=sys.stderr)
        return 130
    print(f"{path}: {os.path.getsize(path):,} bytes; next:", file=sys.stderr)
    print(f"tfds build tfds_rvf10k --manual_dir={shlex.quote(path)}")
    return 0


def _handle(text: str) -> str:
    """A dataset's handle; argparse makes a usage error of what is none."""
    found = re.fullmatch(
        r"(?:https?://(?:www\.)?kaggle\.com/datasets/)?([\w-]+/[\w-]+(?:/versions/[1-9]\d*)?)/?",
        text,
    )
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not OWNER/NAME, such as {DATASET}")
    return found[1]


def download(dataset: str, output: str) -> str:
    """Downloads a dataset's zip, beside its place until it is whole and safe to read.

    What a broken download leaves is hidden, no `.zip`, and resumed by the next call.

    Args:
      dataset: `owner/name`, for the newest version, or `owner/name/versions/N`.
      output: folder; it is made if it is not there.

    Returns:
      the zip's path, `output/name.zip` or `output/name-vN.zip`. One that is there is kept.

    Raises:
      DownloadFailed: for whatever reason outside this program.
    """
    _, name, *version = dataset.split("/")
    path = os.path.join(output, f"{name}-v{version[-1]}.zip" if version else f"{name}.zip")
    if os.path.exists(path):
        _checked_before(path)
        return path
    try:
        os.makedirs(output, exist_ok=True)
        _download(dataset, path)
    except json.JSONDecodeError as error:
        raise DownloadFailed(
            f"{dataset}: what answers is not Kaggle ({error}); look for a proxy or a login page "
            "between"
        ) from error
    except requests.RequestException as error:  # an OSError, too
        raise DownloadFailed(f"{dataset}: {explain(error, dataset)}") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = f"free space, then {AGAIN}" if full else "give another --output"
        raise DownloadFailed(f"{output}: {error.strerror or error}; {remedy}") from error
    return path


def _checked_before(path: str) -> None:
    """Says that a zip is there, or raises DownloadFailed if it is none."""
    try:
        archive.open_archive(path).close()
    except (ValueError, OSError) as error:
        raise DownloadFailed(f"{error}; remove {path} first") from error
    print(f"{path} is there; remove it to download it again", file=sys.stderr)


def _download(dataset: str, path: str) -> None:
    """Asks Kaggle for the version and for its zip, and puts that at the path."""
    clients, exceptions, handle, messages = _kagglehub()
    what = handle.parse_dataset_handle(dataset)
    request = messages.ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = what.owner, what.dataset
    with contextlib.redirect_stdout(sys.stderr), _client(clients) as client:
        api = client.datasets.dataset_api_client
        version = what.version or api.get_dataset(request).current_version_number
        request = messages.ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = what.owner, what.dataset
        request.dataset_version_number = version
        folder, name = os.path.split(path)
        part = os.path.join(folder, f".{name}.v{version}.part")
        with _alone(part):
            print(f"{dataset}, version {version}: downloading", file=sys.stderr)
            response = api.download_dataset(request)
            try:
                with _plain_lines():
                    clients.download_file(response, part, what)
            except exceptions.DataCorruptionError as error:  # which has removed it
                raise DownloadFailed(
                    f"{dataset}: what arrived is not what was sent (MD5); run the command again"
                ) from error
            _check(dataset, part, response.headers.get("Content-Length"))
            os.replace(part, path)


def _check(dataset: str, part: str, expected: str | None) -> None:
    """Raises DownloadFailed for what is no whole, safe zip; removes it unless it is a beginning."""
    size = os.path.getsize(part)
    if expected and size < int(expected):
        raise DownloadFailed(f"{dataset}: {size:,} of {int(expected):,} bytes came; {AGAIN}")
    try:
        # kagglehub appends whatever a server answers that is asked for the rest.
        if expected and size > int(expected):
            raise ValueError(f"{size:,} bytes where {int(expected):,} belong; run it again")
        archive.open_archive(part).close()
    except ValueError as error:
        os.remove(part)
        reason = str(error).removeprefix(f"{part}: ")
        raise DownloadFailed(f"{dataset}: what came is not kept: {reason}") from error


def _kagglehub() -> tuple[Any, Any, Any, Any]:
    """Its modules: clients, exceptions, handle, and kagglesdk's messages."""
    try:
        from kagglehub import clients, exceptions, handle
        from kagglesdk.datasets.types import dataset_api_service

        _ = clients.build_kaggle_client, clients.download_file
    except (ImportError, AttributeError) as error:
        raise DownloadFailed(
            f"needs Kaggle's client ({error}); pip install '{REQUIREMENT}', or download "
            f"https://www.kaggle.com/datasets/{DATASET} with a browser"
        ) from error
    logging.getLogger("kagglehub").setLevel(logging.WARNING)  # it logs to stdout
    return clients, exceptions, handle, dataset_api_service


def _client(clients: Any) -> Any:
    """A client with the user's credentials, or without any: public data often need none."""
    try:
        return clients.build_kaggle_client()
    except ValueError as error:
        raise DownloadFailed(f"{error}; remove it, or {TOKEN}") from error
    except OSError as error:
        # kagglehub takes the variable for a file's name first; a token is not for the log.
        what = "KAGGLE_API_TOKEN" if error.errno == errno.ENAMETOOLONG else error.filename
        raise DownloadFailed(f"{what}: {error.strerror}; make it readable, or {TOKEN}") from error


@contextlib.contextmanager
def _alone(part: str) -> Iterator[None]:
    """Locks what is being downloaded, or raises DownloadFailed; the lock goes with the process."""
    # An empty one makes kagglehub ask for the whole as for a rest, which has a timeout.
    file = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadFailed(f"{part}: another process downloads it; wait for it") from error
        try:
            yield
        finally:
            if os.path.exists(part) and not os.path.getsize(part):
                os.remove(part)
    finally:
        os.close(file)


class _Lines(io.TextIOBase):
    """Makes now and then a line of a progress bar that draws itself over and over."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next = time.monotonic() + _LINE_EVERY

    def write(self, text: str) -> int:
        if text.strip() and time.monotonic() >= self._next:
            self._out.write(text.strip() + "\n")
            self._out.flush()
            self._next = time.monotonic() + _LINE_EVERY
        return len(text)


@contextlib.contextmanager
def _plain_lines() -> Iterator[None]:
    """Where stderr is no terminal: lines instead of kagglehub's bar."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(_Lines(sys.stderr)):
            yield


if __name__ == "__main__":
    sys.exit(main())
