"""Page and HTTP interface as one server, until it is told to stop."""

import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from dftk.utils.errors import UserError
from dftk.utils.progress import say

if TYPE_CHECKING:  # what a door must be able to refuse without: FastAPI, TensorFlow
    import uvicorn
    from starlette.types import ASGIApp

    from dftk.serving.service import Service

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PATIENCE_S = 1  # for answers under way, when told to stop


def serve(
    model: Path,
    host: str,
    port: int,
    threshold: float | None,
    limits: dict[str, int],
    allowed: Sequence[str] = (),
) -> int:
    """Loads the model, then serves until Ctrl-C or SIGTERM.

    Args:
      model: a workdir, or a .keras file.
      host: address to listen on.
      port: 0 takes a free one.
      threshold: None is the workdir's own.
      limits: fields of `uploads.Limits`.
      allowed: more host names that requests may be addressed to.

    Returns:
      the exit status: 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
      UserError: FastAPI is not installed, the port is taken, or the model cannot be loaded.
    """
    _require("fastapi", "uvicorn", "python_multipart")
    with _listening(host, port) as listener:
        if host not in LOOPBACK:
            say(f"warning: --host={host}: everyone who can reach this machine can use this page; "
                "it knows no passwords and no encryption")  # fmt: skip
        from dftk.serving.service import Service
        from dftk.serving.uploads import Limits

        say(f"loading {model}")
        service = Service(model, threshold, Limits(**limits))
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        say(f"threshold {service.threshold:g}: {service.provenance.threshold_source}")
        say(f"open {address} or POST images to {address}/api/predict; Ctrl-C stops")
        number = _run(build(service, host, allowed), listener)
    say(f"stopped by {signal.Signals(number).name}; nothing that was uploaded is kept")
    return 128 + number


def build(service: "Service", host: str, allowed: Sequence[str] = ()) -> "ASGIApp":
    """The whole application: HTTP interface, page, and the guard around both.

    Args:
      service: scores.
      host: address to listen on. A loopback address answers to LOOPBACK; any other one to the name
        given, to this machine's, and to IP addresses, too.
      allowed: more names to answer to.
    """
    from dftk.serving import guard, http_api, uploads
    from dftk.serving.web import page

    app = http_api.application(service)
    page.add_to(app)
    most = service.limits.max_bytes
    names = {*LOOPBACK, *allowed}
    if host not in LOOPBACK:
        own = socket.gethostname()
        names |= {host, own, own.partition(".")[0]}
    return guard.Guard(
        app,
        frozenset(map(str.lower, names)),
        most,
        uploads.too_many_bytes(most),
        addresses=host not in LOOPBACK,
    )


def _require(*modules: str) -> None:
    for module in modules:
        try:
            __import__(module)
        except ModuleNotFoundError:
            raise UserError(
                f"dftk.serve needs {module}, which is not installed: pip install -e '.[serve]'"
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


class _Stopped(BaseException):
    """SIGTERM, after uvicorn has closed what was open."""


def configured(app: "ASGIApp") -> "uvicorn.Config":
    """How uvicorn serves it."""
    import uvicorn

    from dftk.serving.patience import Patience

    return uvicorn.Config(
        app,
        http=Patience,
        ws="none",
        log_level="critical",
        access_log=False,  # nothing of the uploads, their names neither
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE_S,
    )


def _run(app: "ASGIApp", listener: socket.socket) -> int:
    """Serves; returns the number of the signal that ended it."""
    import uvicorn

    def stopped(number: int, _: FrameType | None) -> None:
        raise _Stopped(number)

    class Server(uvicorn.Server):
        number = 0

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.number = sig
            super().handle_exit(sig, frame)

    server = Server(configured(app))
    former = signal.signal(signal.SIGTERM, stopped)
    try:
        server.run(sockets=[listener])  # raises the signal again at its end, not always
    except KeyboardInterrupt:
        return signal.SIGINT
    except _Stopped:
        return signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, former)
    if server.number:
        return server.number
    raise UserError("the server ended without being told to")
