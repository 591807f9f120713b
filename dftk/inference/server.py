"""Page and HTTP interface as one server, until it is told to stop."""

import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from dftk.config import UserError
from dftk.inference.uploads import Limits
from dftk.progress import say

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONNECTIONS = 128  # at once; more are answered 503


def serve(model: Path, host: str, port: int, threshold: float | None, limits: Limits) -> int:
    """Loads the model, then serves until Ctrl-C or SIGTERM.

    Args:
      model: a workdir, or a .keras file.
      host: address to listen on.
      port: 0 takes a free one.
      threshold: None is the workdir's own.
      limits: of uploads.

    Returns:
      the exit status: 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
      UserError: Gradio is not installed, the port is taken, or the model cannot be loaded.
    """
    _require_gradio()
    with _listening(host, port) as listener, _private_folder():
        if host not in LOOPBACK:
            say(f"warning: --host={host}: everyone who can reach this machine can use this page; "
                "it knows no passwords and no encryption")  # fmt: skip
        from dftk.inference.service import Service

        say(f"loading {model}")
        service = Service(model, threshold, limits)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        say(f"threshold {service.threshold:g}: {service.provenance.threshold_source}")
        say(f"open {address}  (POST images to {address}/api/predict; Ctrl-C stops)")
        number = _run(build(service, host in LOOPBACK), listener)
    say("stopped; nothing of what was uploaded is kept")
    sys.stdout.flush()
    return 128 + number


def build(service: "Service", loopback: bool) -> "ASGIApp":  # noqa: F821
    """The whole application: HTTP interface, page, and the guard around both."""
    import gradio

    from dftk.inference import guard, http_api, page, uploads

    limits = service.limits
    app = http_api.application(service)
    gradio.mount_gradio_app(app, page.build(service), path="", **page.options(limits))
    rules = guard.Rules(
        hosts=LOOPBACK if loopback else None,
        upload_bytes=limits.max_bytes,
        page_bytes=limits.max_bytes * limits.max_files,
        too_large=uploads.too_many_bytes(limits.max_bytes),
    )
    return guard.Guard(app, rules)


def _require_gradio() -> None:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"dftk.serve needs {error.name}, which is not installed: pip install -e '.[serve]'"
        ) from None


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket: a port in use is noticed before a model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            raise UserError(
                f"--host={host} --port={port}: cannot listen there ({error.strerror}); choose "
                "another --port, or 0 for any that is free"
            ) from None
        yield listener


@contextlib.contextmanager
def _private_folder() -> Iterator[None]:
    """What Gradio writes goes to a folder that only this user can read, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="dftk_serve_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield


class _Stopped(BaseException):
    """SIGTERM, after uvicorn has closed what was open."""


def _run(app: "ASGIApp", listener: socket.socket) -> int:  # noqa: F821
    """Serves; returns the number of the signal that ended it."""
    import uvicorn

    def stopped(number: int, _: FrameType | None) -> None:
        raise _Stopped

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # nothing of the uploads, their names neither
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=1,  # a page keeps its stream open for ever
    )
    former = signal.signal(signal.SIGTERM, stopped)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        return signal.SIGINT
    except _Stopped:
        return signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, former)
    raise UserError("the server ended by itself; its last lines above say why")
