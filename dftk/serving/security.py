"""Security middleware: which requests are answered, and how large and how slow they may be.

Starlette has parts of this. Its TrustedHostMiddleware allows no "any IP address" and redirects to
www; its RequestBodyLimitMiddleware is newer than the oldest Starlette that dftk supports, and knows
no time limit. Neither answers in JSON. Nothing in it refuses requests from pages of other sites:
CORS headers only tell a browser what a page may read.
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import time
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_RESPONSE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # verdicts and images stay in no cache
}
_READ_METHODS = ("GET", "HEAD")
_FORM_BYTES = 2**16  # headers and boundaries around the file of a form
_BODY_SECONDS = 10  # for a body, and a second more for each _BYTES_PER_SECOND that arrived
_BYTES_PER_SECOND = 10_000  # slower than any telephone line, but single bytes do not last for long


class _Refusal(BaseException):
    """Ends a request. It is no Exception, so that no exception handler of the application runs.

    Attributes:
      status: of HTTP.
      message: one sentence.
    """

    def __init__(self, status: int, message: str):
        super().__init__(status, message)
        self.status, self.message = status, message


@dataclasses.dataclass
class SecurityMiddleware:
    """ASGI middleware around the whole application; refuses a request with one sentence of JSON.

    Args:
      app: the application.
      allowed_hosts: names, in lower case, that requests may be addressed to. If any name would do,
        a page elsewhere could point a name of its own at this machine and read the answers (DNS
        rebinding).
      max_bytes: of an uploaded file. Bodies are counted as they arrive.
      too_large_message: the sentence for a larger one.
      allow_ip_addresses: whether requests may be addressed to any IP address, too. A page cannot
        point an address at this machine.
      max_uploads: at once; further ones are answered 503. Connections that have not sent a request
        yet do not count here; see dftk.serving.connections.
    """

    app: ASGIApp
    allowed_hosts: Collection[str]
    max_bytes: int
    too_large_message: str
    allow_ip_addresses: bool = False
    max_uploads: int = 128
    _uploads: int = dataclasses.field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands on the requests that are allowed."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":  # websockets are not served
            await self._handle(scope, receive, _with_response_headers(send))

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Checks the headers, then limits the size and the time of the body."""
        body = _Body(receive)
        answered = False

        async def limited_receive() -> Message:
            message = await body.receive()
            if body.num_bytes > self.max_bytes + _FORM_BYTES:
                raise _Refusal(413, self.too_large_message)
            return message

        async def noting_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            self._check_headers(scope)
            with self._upload_slot(scope):
                await self.app(scope, limited_receive, noting_send)
        except _Refusal as refusal:
            if not answered:  # otherwise the answer has begun, and the connection just breaks off
                await self._discard(body)
                # Nothing else that the client sends on this connection is read.
                response = JSONResponse(
                    {"error": refusal.message}, refusal.status, {"connection": "close"}
                )
                await response(scope, receive, send)

    def _check_headers(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _host_name(host)
        if name not in self.allowed_hosts and not (self.allow_ip_addresses and _is_address(name)):
            raise _Refusal(403, f"{host!r} is not a name of this server; see --allowed_host")
        # Browsers say which page sends a request; other clients send no such header.
        if origin is not None and origin.partition("://")[2] != host:
            raise _Refusal(403, f"sent by a page of {origin!r}; only this server's own page may")
        if scope["method"] not in _READ_METHODS and (
            headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        ):
            raise _Refusal(403, "sent by a page of another site; only this server's own page may")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.max_bytes + _FORM_BYTES:
            raise _Refusal(413, self.too_large_message)

    @contextlib.contextmanager
    def _upload_slot(self, scope: Scope) -> Iterator[None]:
        """Takes one of `max_uploads`; requests that only read, as of the page, need none."""
        needed = scope["method"] not in _READ_METHODS
        if needed and self._uploads >= self.max_uploads:
            raise _Refusal(
                503, f"busy: {self.max_uploads} uploads are under way; try again in a minute"
            )
        self._uploads += needed
        try:
            yield
        finally:
            self._uploads -= needed

    async def _discard(self, body: "_Body") -> None:
        """Reads on for a while: a client that is cut off while sending would not see the answer."""
        try:
            while not body.complete and body.num_bytes < 4 * self.max_bytes:
                await body.receive()
        except _Refusal:  # too slow
            return


class _Body:
    """The body of a request, which must arrive within its time."""

    def __init__(self, receive: Receive):
        self._receive, self._started = receive, time.monotonic()
        self.num_bytes, self.complete = 0, False

    async def receive(self) -> Message:
        """Returns the next message; after the body, that is the client's disconnect.

        Raises:
          _Refusal: the body is too slow.
        """
        if self.complete:
            return await self._receive()
        deadline = self._started + _BODY_SECONDS + self.num_bytes / _BYTES_PER_SECOND
        try:
            message = await asyncio.wait_for(self._receive(), deadline - time.monotonic())
        except asyncio.TimeoutError:  # in Python 3.10 another class than TimeoutError
            raise _Refusal(
                408, f"only {self.num_bytes:,} bytes of the request came in time; send it faster"
            ) from None
        self.num_bytes += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        return message


def _host_name(host: str) -> str:
    """Returns a Host header without port and brackets: example.org:80, [::1]:80; "" for neither."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_response_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_RESPONSE_HEADERS)
        await send(message)

    return wrapped
