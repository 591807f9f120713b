"""What stands between the network and the application: who may ask, and how much they may send."""

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import time
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # verdicts and pictures stay in no cache
}
_READING = ("GET", "HEAD")
_FORM_BYTES = 2**16  # headers and boundaries around the file of a form
_BODY_S = 10  # for a body, and a second more for each
_BYTES_PER_S = (
    10_000  # that came: slower than any telephone, but nobody sends single bytes for long
)


class _Refusal(BaseException):
    """A status and a sentence, as args. No Exception: no handler of the application's is asked."""


@dataclasses.dataclass
class Guard:
    """ASGI middleware around the whole application; refuses with one sentence of JSON.

    Args:
      app: what is guarded.
      hosts: names in lower case that requests may be addressed to. Answered under any name, a page
        elsewhere could point one of its own at this machine and read all answers (DNS rebinding).
      addresses: whether any IP address will do, too; nobody can point one elsewhere.
      max_bytes: of an upload; bodies are counted as they come.
      too_large: the sentence for more.
      most: uploads at once; more are answered 503. Connections that have sent no request yet are
        not among them, see `patience`.
    """

    app: ASGIApp
    hosts: Collection[str]
    max_bytes: int
    too_large: str
    addresses: bool = False
    most: int = 128
    _uploads: int = dataclasses.field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is allowed."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":  # and no websockets
            await self._limited(scope, _Body(receive), _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        name = _name(host)
        if name not in self.hosts and not (self.addresses and _is_address(name)):
            return 403, f"addressed to {host!r}, no name of this server; see --allowed_host"
        # Browsers name the page that asks; other clients have none.
        if origin is not None and origin.partition("://")[2] != host:
            return 403, f"asked by a page of {origin!r}; only this server's own page may"
        if scope["method"] not in _READING and (
            headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin")
        ):
            return 403, "asked by another site's page; only this server's own page may"
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > self.max_bytes + _FORM_BYTES:
            return 413, self.too_large
        return None

    async def _limited(self, scope: Scope, body: "_Body", send: Send) -> None:
        """Ends a request whose body is late, or longer than it said; or did not say."""
        started = False

        async def counted() -> Message:
            message = await body.receive()
            if body.seen > self.max_bytes + _FORM_BYTES:
                raise _Refusal(413, self.too_large)
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if refusal := self._refusal(scope):
                raise _Refusal(*refusal)
            with self._place(scope):
                await self.app(scope, counted, noted)
        except _Refusal as refused:
            if not started:  # an answer already begun is beyond mending: then the connection breaks
                await self._discard(body)
                await _answer(send, *refused.args)

    @contextlib.contextmanager
    def _place(self, scope: Scope) -> Iterator[None]:
        """One of `most`; the page itself, which costs nothing, needs none."""
        needed = scope["method"] not in _READING
        if needed and self._uploads >= self.most:
            raise _Refusal(503, f"busy: {self.most} uploads are under way; try again in a minute")
        self._uploads += needed
        try:
            yield
        finally:
            self._uploads -= needed

    async def _discard(self, body: "_Body") -> None:
        """Reads on for a while and keeps nothing: who is cut off while sending sees no answer."""
        try:
            while not body.whole and body.seen < 4 * self.max_bytes:
                await body.receive()
        except _Refusal:  # too slow: then without it
            return


class _Body:
    """The body of a request as it comes in, within its time."""

    def __init__(self, receive: Receive):
        self._receive, self._begun = receive, time.monotonic()
        self.seen, self.whole = 0, False

    async def receive(self) -> Message:
        """The next message; after the whole body there is only the client's leaving to wait for.

        Raises:
          _Refusal: it took too long.
        """
        if self.whole:
            return await self._receive()
        left = self._begun + _BODY_S + self.seen / _BYTES_PER_S - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), left)
        except asyncio.TimeoutError:  # another one than TimeoutError in Python 3.10
            text = f"only {self.seen:,} bytes of the request came in time; send it again, faster"
            raise _Refusal(408, text) from None
        self.seen += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        return message


def _name(host: str) -> str:
    """example.org:80 or [::1]:80 without the port and brackets; "" for neither."""
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


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *ours]}
        await send(message)

    return wrapped


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # whatever else the client sends is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
