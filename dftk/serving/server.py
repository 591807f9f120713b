"""Runs the page and the HTTP interface as one server until a signal stops it."""

import concurrent.futures
import contextlib
import functools
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from dftk.utils.errors import UserError
from dftk.utils.progress import say

if TYPE_CHECKING:  # FastAPI may be missing, and TensorFlow is slow to import
    import uvicorn
    from starlette.types import ASGIApp

    from dftk.serving.service import Service

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SHUTDOWN_SECONDS = 1  # for requests under way when a signal stops the server


def serve(
    model: Path,
    *,
    host: str,
    port: int,
    threshold: float | None,
    max_pixels: int,
    max_bytes: int,
    max_files: int,
    allowed_hosts: Sequence[str] = (),
) -> int:
    """Loads the model, then serves until Ctrl-C or SIGTERM.

    Args:
      model: a workdir, or a .keras file.
      host: address to listen on.
      port: 0 takes a free one.
      threshold: fake from here on; None takes the one that the run chose.
      max_pixels: of an uploaded image.
      max_bytes: of an uploaded file.
      max_files: that the page sends at once.
      allowed_hosts: further host names that requests may be addressed to.

    Returns:
      the exit status: 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
      UserError: FastAPI is not installed, the port is taken, or the model cannot be loaded.
    """
    _require("fastapi", "uvicorn", "python_multipart")
    with listening_socket(host, port) as listener:
        if host not in LOOPBACK:
            say(
                f"warning: --host={host}: everyone who can reach this machine can use this page; "
                "it has no passwords and no encryption"
            )
        from dftk.serving import framework_internals
        from dftk.serving.service import Service
        from dftk.serving.uploads import UploadLimits

        for sentence in framework_internals.missing():
            say(f"warning: {sentence}; install another release")
        say(f"loading {model}")
        limits = UploadLimits(max_pixels=max_pixels, max_bytes=max_bytes, max_files=max_files)
        service = Service(model, threshold, limits)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        say(f"threshold {service.threshold:g}: {service.info.threshold_source}")
        say(f"open {address} or POST images to {address}/api/predict; Ctrl-C stops")
        number = _run(application(service, host, allowed_hosts), listener)
    say(f"stopped by {signal.Signals(number).name}; nothing that was uploaded is kept")
    return 128 + number


def application(service: "Service", host: str, allowed_hosts: Sequence[str] = ()) -> "ASGIApp":
    """Puts the HTTP interface, the page and the security middleware together.

    Args:
      service: scores the images.
      host: address that the server listens on. If it is a loopback address, requests may be
        addressed to LOOPBACK. Otherwise they may also be addressed to that host, to the name of
        this machine, and to any IP address.
      allowed_hosts: further names that requests may be addressed to.
    """
    from dftk.serving import http_api, uploads
    from dftk.serving.security import SecurityMiddleware
    from dftk.serving.web import page

    app = http_api.application(service)
    page.add_to(app)
    names = {*LOOPBACK, *allowed_hosts}
    if host not in LOOPBACK:
        machine = socket.gethostname()
        names |= {host, machine, machine.partition(".")[0]}
    max_bytes = service.limits.max_bytes
    return SecurityMiddleware(
        app,
        allowed_hosts=frozenset(map(str.lower, names)),
        max_bytes=max_bytes,
        too_large_message=uploads.too_many_bytes(max_bytes),
        allow_ip_addresses=host not in LOOPBACK,
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
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Opens a socket before the model is loaded, so that a port in use is noticed at once."""
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


def uvicorn_config(app: "ASGIApp") -> "uvicorn.Config":
    """How uvicorn serves the application."""
    import uvicorn

    from dftk.serving import connections, framework_internals

    http: Any = "auto"
    if protocol := framework_internals.http_protocol():
        http = functools.partial(connections.LimitedConnection, protocol, set())
    return uvicorn.Config(
        connections.track_requests(app),
        http=http,
        ws="none",
        log_level="critical",
        access_log=False,  # nothing of the uploads is logged, not even their names
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def _run(app: "ASGIApp", listener: socket.socket) -> int:
    """Serves; returns the number of the signal that stopped it."""
    import uvicorn

    server = uvicorn.Server(uvicorn_config(app))
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        server.should_exit = True

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # In the main thread uvicorn would handle the signals itself, and not say which one came.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            thread.submit(server.run, sockets=[listener]).result()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if not received:
        raise UserError("the server ended without a signal; start it again")
    return received[0]
