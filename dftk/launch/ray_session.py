"""A Ray cluster for the length of a call, and what this machine and all its nodes must share."""

import contextlib
import logging
import os
import socket
import sys
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dftk.runs.workdir import Workdir
from dftk.training.config import Config
from dftk.utils.errors import UserError
from dftk.utils.files import write_text

_CONNECT_S = 10.0  # Ray itself tries for a quarter of an hour
_START = (
    "start one with `ray start --head` and give --ray_address=auto on that machine, or leave "
    "--ray_address out for a local one"
)


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[Any]:
    """Joins a Ray cluster, or starts a local one; leaves or stops it after the block.

    Args:
      address: host:port, or auto for the cluster that runs on this machine; None for a local one.

    Yields:
      The module `ray`.

    Raises:
      UserError: Ray is not installed, or there is no such cluster.
    """
    where = f"--ray_address={address}"
    if address and address != "auto":
        _require_listener(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads it when imported
    try:
        import ray
    except ImportError:
        raise UserError(
            "Ray is not installed; in the checkout: pip install -e '.[cluster]'"
        ) from None
    local = {} if address else {"include_dashboard": False}
    try:
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **local
        )
    except ray.exceptions.AuthenticationError as error:
        raise UserError(_refused(where, error)) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        if isinstance(error.__cause__, Exception) and "uthenticat" in str(error.__cause__):
            raise UserError(_refused(where, error)) from None
        raise UserError(f"{where}: cannot join it ({_first_line(error)}); {_START}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _refused(where: str, error: Exception) -> str:
    return (
        f"{where}: the cluster refuses us ({_first_line(error)}); set RAY_AUTH_MODE=token and the "
        "token that its head node has, see `ray get-auth-token --help`"
    )


def _require_listener(address: str) -> None:
    """Raises UserError at once where nobody listens."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UserError(
            f"--ray_address={address}: give auto or HOST:PORT, on a machine that can mount the "
            "workdir; from elsewhere, `ray job submit` this command to the cluster"
        )
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--ray_address={address}: nobody answers ({error}); {_START}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def as_nodes_see_it(config: Config) -> Config:
    """The config with absolute paths: a task runs in a directory of Ray's."""
    changes: dict[str, Any] = {
        name: str(Path(value).absolute())
        for name in ("dataset", "weights")
        if Path(value := config.values()[name]).exists()
    }
    if where := config.data_dir or os.environ.get("TFDS_DATA_DIR"):
        changes["data_dir"] = str(Path(where).expanduser().absolute())
    return config.replaced(**changes)


@contextlib.contextmanager
def marked(workdir: Workdir) -> Iterator[str]:
    """Puts a word into the workdir by which nodes know that they see this one, not their own.

    Raises:
      UserError: cannot write there.
    """
    word = uuid.uuid4().hex
    file = workdir.path / f".run-{word}"
    try:
        workdir.path.mkdir(parents=True, exist_ok=True)
        write_text(file, word)
    except OSError as error:
        raise UserError(
            f"--workdir={workdir.path}: cannot write there ({error.strerror}); choose another"
        ) from None
    try:
        yield word
    finally:
        file.unlink(missing_ok=True)


def require_mark(workdir: Workdir, word: str) -> None:
    """Raises UserError where the workdir is not the one that `marked` wrote into."""
    if not (workdir.path / f".run-{word}").is_file():
        raise UserError(
            f"--workdir={workdir.path}: node {socket.gethostname()} does not see this folder as "
            "it is here; choose one on storage that all nodes share"
        )


@contextlib.contextmanager
def notes_into(path: Path) -> Iterator[None]:
    """What Ray says of lost workers goes into a file: it is long, and on stdout, our results'."""
    with path.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        yield
    if not path.stat().st_size:
        path.unlink()


@contextlib.contextmanager
def output_into(path: Path) -> Iterator[None]:
    """What the process prints, TensorFlow's notes and a traceback too, is added to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with path.open("ab") as file:
        for number in kept:
            os.dup2(file.fileno(), number)
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, former in kept.items():
            os.dup2(former, number)
            os.close(former)
