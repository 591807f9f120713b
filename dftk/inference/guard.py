"""What stands between the network and the page: who may ask for what, and how much they may send.

Gradio brings some seventy routes (files, a proxy, editors, saved runs). The page needs a dozen;
everything else is answered 404 here, before Gradio sees it.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_API = r"/api/(predict|model|health|openapi\.json)"
_GET = re.compile(
    rf"(/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static)/[\w./@-]+|{_API}"
    r"|/gradio_api/(heartbeat/\w+|queue/data|upload_progress|startup-events|app_id))"
)
_POST = re.compile(r"/api/predict|/gradio_api/(queue/join|upload|cancel|reset/?)")
_HEADERS = {
    # Gradio's page is built of inline scripts and styles, and of templates made at run time.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' "
    "data:; connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_FORM_BYTES = 2**16  # headers and boundaries around the files of a form


class _TooLarge(Exception):
    """More bytes came than may."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """hosts: names that requests may be addressed to, None for any: a page elsewhere can point a
    name of its own at this machine (DNS rebinding). upload_bytes: of an image. page_bytes: of one
    drop on the page.
    """

    hosts: Sequence[str] | None
    upload_bytes: int
    page_bytes: int
    too_large: str


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, rules: Rules):
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is allowed; answers the rest with one sentence of JSON."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            return
        send = _with_headers(send)
        refusal = self._refusal(scope)
        if refusal:
            await _answer(send, *refusal)
            return
        await self._limited(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1"): value.decode("latin-1")
                   for name, value in scope["headers"]}  # fmt: skip
        host = headers.get("host", "")
        if self._rules.hosts is not None and _name(f"//{host}") not in self._rules.hosts:
            return 403, f"addressed to {host!r}; this server answers to its own address only"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"asked by a page of {origin!r}; only this server's own page may"
        if headers.get("sec-fetch-site") == "cross-site" and scope["path"] != "/":
            return 403, "asked by another site's page; only this server's own page may"
        return self._method_refusal(scope["method"], scope["path"])

    def _method_refusal(self, method: str, path: str) -> tuple[int, str] | None:
        allowed = {"GET": _GET, "HEAD": _GET, "POST": _POST}.get(method)
        if allowed and allowed.fullmatch(path) and ".." not in path:
            return None
        if _GET.fullmatch(path) or _POST.fullmatch(path):
            return 405, f"{method} is not for {path}"
        return 404, "nothing here; see /api/openapi.json"

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts the body as it comes, and ends the request where it is too long."""
        page = scope["path"].startswith("/gradio_api/upload")
        limit = _FORM_BYTES + (self._rules.page_bytes if page else self._rules.upload_bytes)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await _answer(send, 413, self._rules.too_large)
            return
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLarge:
            if not started:
                await _answer(send, 413, self._rules.too_large)


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # an address in brackets that is none
        return ""


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"]
                    if not name.lower().startswith(b"access-control-")]  # fmt: skip
            ours = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": kept + ours}
        await send(message)

    return wrapped


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what else the client sends is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
