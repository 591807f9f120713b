"""A Ray cluster for the length of a call, and what the launching machine shares with its nodes."""

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
from dftk.utils.errors import UserError, first_line
from dftk.utils.files import write_text

_CONNECT_S = 10.0  # Ray itself tries for a quarter of an hour
_START = (
    "start one with `ray start --head` and give --ray_address=auto on that machine, or leave "
    "--ray_address out for a local one"
)
_TOKEN = (
    "if its head node asks for a token, set RAY_AUTH_MODE=token and the same token, see "
    "`ray get-auth-token --help`"
)


@contextlib.contextmanager
def connect(address: str | None) -> Iterator[Any]:
    """Joins a Ray cluster, or starts a local one; leaves or stops it after the block.

    Args:
      address: host:port, or auto for the cluster that runs on this machine; None for a local one.

    Yields:
      The module `ray`.

    Raises:
      UserError: Ray is not installed, there is no such cluster, or it refuses this process.
    """
    if address and address != "auto":
        _require_listener(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads it when it is imported
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
    # A wrong token is a plain ConnectionError, as a port is at which something else listens.
    except (ray.exceptions.AuthenticationError, ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--ray_address={address}: cannot join this cluster ({first_line(error)}); {_START}; "
            f"{_TOKEN}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Raises UserError at once if nothing listens at the address."""
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


def with_absolute_paths(config: Config) -> Config:
    """Returns the config with absolute paths, because Ray's tasks run in another directory.

    What is a name to the dataset catalog or the model registry stays a name.
    """
    # Imported here: nodes import this module before dftk.utils.cpu prepares for TensorFlow.
    from dftk.datasets import catalog
    from dftk.models import registry

    changes: dict[str, Any] = {}
    if where := config.data_dir or os.environ.get("TFDS_DATA_DIR"):
        changes["data_dir"] = _absolute(where)
    if catalog.is_path(config.dataset, config.data_dir):
        changes["dataset"] = _absolute(config.dataset)
    if registry.is_weights_file(config.model.weights):
        changes["weights"] = str(Path(config.model.weights).absolute())  # there ~ is a plain name
    return config.replaced(**changes)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


@contextlib.contextmanager
def shared_folder_token(workdir: Workdir) -> Iterator[str]:
    """Keeps a file of a random name in the workdir during the block.

    By it a node can tell whether it sees this folder, or another one under the same path.

    Yields:
      The token for `require_shared_folder`.

    Raises:
      UserError: the workdir cannot be written.
    """
    token = uuid.uuid4().hex
    file = _token_file(workdir, token)
    try:
        workdir.path.mkdir(parents=True, exist_ok=True)
        write_text(file, token)
    except OSError as error:
        raise UserError(
            f"--workdir={workdir.path}: cannot write there ({error.strerror}); choose another"
        ) from None
    try:
        yield token
    finally:
        file.unlink(missing_ok=True)


def require_shared_folder(workdir: Workdir, token: str) -> None:
    """Raises UserError if the workdir is not the one that `shared_folder_token` wrote to."""
    if not _token_file(workdir, token).is_file():
        raise UserError(
            f"--workdir={workdir.path}: node {socket.gethostname()} does not see the folder that "
            "the launching machine sees; choose one on storage that all nodes share"
        )


def _token_file(workdir: Workdir, token: str) -> Path:
    return workdir.path / f".run-{token}"


@contextlib.contextmanager
def stdout_to_file(path: Path) -> Iterator[None]:
    """Appends what Python prints to stdout to a file, which is removed if it stays empty.

    Ray writes long notes on lost workers to stdout, which is for our results.
    """
    with path.open("a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        yield
    if not path.stat().st_size:
        path.unlink()


@contextlib.contextmanager
def output_to_file(path: Path) -> Iterator[None]:
    """Appends all that the process writes to stdout and stderr to a file, C++ code included.

    The file gets the error or traceback of an exception that ends the block, too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    with path.open("ab") as file:
        for number in saved:
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
        for number, former in saved.items():
            os.dup2(former, number)
            os.close(former)
