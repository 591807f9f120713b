"""Connections that take their time: none may keep others out by sending little, or nothing."""

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10  # from a connection's, or a further request's, first byte to the end of its headers
ANSWER_S = 30  # for the client to take what is written; answers are below 1 MB
CONNECTIONS = 256  # open at once; processes have 1024 files, unless told otherwise


class Patience(H11Protocol):
    """uvicorn's HTTP/1.1, which waits for headers without end, with an end.

    A connection without a request under way is closed REQUEST_S after it was opened, or after a
    further request began; its dribbling on makes it no longer. Among more than CONNECTIONS the one
    that has been without a request for longest makes room. Who does not read an answer is cut off
    after ANSWER_S. Bodies are the Guard's.
    """

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for headers; closes another connection if there are too many."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._wait()
        if len(self.connections) > CONNECTIONS:
            idle = [c for c in self.connections if isinstance(c, Patience) and not c._asked()]
            min(idle, key=lambda connection: connection._idle_since)._cut()

    def data_received(self, data: bytes) -> None:
        """Stops waiting once there is a request; begins again with the next one's first byte."""
        super().data_received(data)
        if self._asked():
            self._stop_waiting()
        else:
            self._wait()

    def on_response_complete(self) -> None:
        """From here on uvicorn's own, shorter time counts, until another request begins."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client is slow to read."""
        super().pause_writing()
        self._unread = self.loop.call_later(ANSWER_S, self._cut)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timers."""
        self._stop_waiting()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Says what no application sees, that this is not HTTP, as all other errors are said."""
        body = json.dumps({"error": f"{msg} Send HTTP/1.1"}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _asked(self) -> bool:
        """Whether a request, with all its headers, is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(REQUEST_S, self._cut)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._stop_waiting()
        self.connections.discard(self)
        self.transport.abort()  # close() would wait for a client that reads no answers either
