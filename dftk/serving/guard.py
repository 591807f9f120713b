"""What stands between the network and the application: who may ask, and how much they may send."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
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
_FORM_BYTES = 2**16  # headers and boundaries around the file of a form


class _TooLarge(Exception):
    """More bytes came than may."""


@dataclasses.dataclass(frozen=True)
class Guard:
    """ASGI middleware around the whole application; refuses with one sentence of JSON.

    Args:
      app: what is guarded.
      hosts: names that requests may be addressed to, None for any. Without them a page elsewhere
        can point a name of its own at this machine and read all answers (DNS rebinding).
      max_bytes: of an upload; bodies are counted as they come.
      too_large: the sentence for more.
    """

    app: ASGIApp
    hosts: Sequence[str] | None
    max_bytes: int
    too_large: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is allowed."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":  # and no websockets
            send = _with_headers(send)
            if refusal := self._refusal(scope):
                await self._discard(receive)
                await _answer(send, *refusal)
            else:
                await self._limited(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if self.hosts is not None and _name(host) not in self.hosts:
            return 403, f"addressed to {host!r}; this server answers to its own address only"
        # Browsers name the page that asks; other clients have none.
        if origin is not None and origin.partition("://")[2] != host:
            return 403, f"asked by a page of {origin!r}; only this server's own page may"
        if scope["method"] not in ("GET", "HEAD") and (
            headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin")
        ):
            return 403, "asked by another site's page; only this server's own page may"
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > self.max_bytes + _FORM_BYTES:
            return 413, self.too_large
        return None

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ends a request whose body turns out longer than it said, or did not say."""
        seen, started, whole = 0, False, False
        most = self.max_bytes + _FORM_BYTES

        async def counted() -> Message:
            nonlocal seen, whole
            message = await receive()
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > most:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if seen > most and not started:
                return  # what the application makes of the exception, a status of 500
            started = True
            await send(message)

        # Only an answer already begun is beyond mending: then the connection breaks.
        with contextlib.suppress(_TooLarge):
            await self.app(scope, counted, noted)
        if seen > most and not started:
            if not whole:  # else there is nothing to wait for but the client's leaving
                await self._discard(receive)
            await _answer(send, 413, self.too_large)

    async def _discard(self, receive: Receive) -> None:
        """Reads on for a while and keeps nothing: who is cut off while sending sees no answer."""
        left, more = 4 * self.max_bytes, True
        while more and left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            more = message.get("more_body", False)


def _name(host: str) -> str:
    """example.org:80 or [::1]:80 without the port and brackets; "" for neither."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


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
