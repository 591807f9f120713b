"""The page: three files that use /api, and load nothing from other servers."""

from pathlib import Path

import fastapi

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


def add_to(app: fastapi.FastAPI) -> None:
    """Adds the routes of the page. The files are read now: no request can name a path."""
    for path, (name, kind) in _FILES.items():
        content = Path(__file__).with_name(name).read_bytes()
        app.add_api_route(
            path, _make_route(content, kind), methods=["GET"], include_in_schema=False
        )


def _make_route(content: bytes, kind: str):  # type: ignore[no-untyped-def]
    def route() -> fastapi.Response:
        return fastapi.Response(content, media_type=kind)

    return route
