"""Time limits on connections, so that no client keeps others out by sending little, or nothing.

uvicorn itself waits without end for the headers of a first request, and for a client that does not
read its answer. Its `limit_concurrency` counts silent connections, too, and refuses new ones; here
the connection that has been silent for longest makes room. Request bodies are limited by
dftk.serving.security.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

REQUEST_SECONDS = 10  # from the first byte of a connection or request to the end of its headers
ANSWER_SECONDS = 30  # for the client to read what is written; answers are below 1 MB
MAX_CONNECTIONS = 256  # open at once; a process may have 1024 files unless configured otherwise
_STATE_KEY = "dftk.connection"  # of the state that uvicorn passes to the application


class LimitedConnection(asyncio.Protocol):
    """One connection: hands everything to an HTTP protocol of uvicorn, and closes what is too slow.

    A connection without a request is closed REQUEST_SECONDS after it was opened, or after the first
    byte of a further request; more bytes do not extend the time. If there are more than
    MAX_CONNECTIONS, the one that has been without a request for longest is closed. A client that
    does not read its answer is cut off after ANSWER_SECONDS. Between two requests the
    `timeout_keep_alive` of uvicorn applies.

    Args:
      make_protocol: makes the HTTP protocol, from uvicorn's arguments.
      connections: all open connections of the server, this one included once it is open.
      app_state: what uvicorn passes to the application as the state of every request.
      options: uvicorn's other arguments.
    """

    def __init__(
        self,
        make_protocol: Callable[..., asyncio.Protocol],
        connections: set["LimitedConnection"],
        *,
        app_state: dict[str, Any],
        **options: Any,
    ):
        self._protocol = make_protocol(app_state={**app_state, _STATE_KEY: self}, **options)
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._request_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._requests = 0  # under way, with all their headers
        self._idle_since = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts to wait for headers; closes the longest idle connection if there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._protocol.connection_made(transport)
        self._connections.add(self)
        self._await_request()
        if len(self._connections) > MAX_CONNECTIONS:
            idle = [connection for connection in self._connections if not connection._requests]
            min(idle, key=lambda connection: connection._idle_since)._abort()

    def data_received(self, data: bytes) -> None:
        """Starts to wait for headers, if these are not bytes of the body of a request."""
        self._protocol.data_received(data)
        if not self._requests:
            self._await_request()

    def eof_received(self) -> bool | None:
        """Hands on that the client sends nothing more."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Starts to wait for the client to read."""
        self._protocol.pause_writing()
        self._answer_timer = self._loop.call_later(ANSWER_SECONDS, self._abort)

    def resume_writing(self) -> None:
        """Stops waiting: the client has read."""
        self._protocol.resume_writing()
        self._stop(self._answer_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all waiting."""
        self._connections.discard(self)
        self._stop(self._request_timer)
        self._stop(self._answer_timer)
        self._protocol.connection_lost(exc)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """While a request is under way, the connection is not idle."""
        self._requests += 1
        self._stop(self._request_timer)
        self._request_timer = None
        try:
            yield
        finally:
            self._requests -= 1
            self._idle_since = self._loop.time()

    def _await_request(self) -> None:
        if self._request_timer is None:
            self._request_timer = self._loop.call_later(REQUEST_SECONDS, self._abort)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()

    def _abort(self) -> None:
        self._connections.discard(self)
        self._transport.abort()  # close() would wait for a client that does not read


def track_requests(app: ASGIApp) -> ASGIApp:
    """ASGI middleware that tells a LimitedConnection when a request on it begins and ends."""

    async def tracked(scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope.get("state", {}).get(_STATE_KEY)
        with connection.request() if connection else contextlib.nullcontext():
            await app(scope, receive, send)

    return tracked
