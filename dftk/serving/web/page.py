"""The page: three files that talk to /api, and nothing from anywhere else."""

from pathlib import Path

import fastapi

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


def add_to(app: fastapi.FastAPI) -> None:
    """Adds the page's routes; the files are read once, so that no path is ever asked for."""
    for path, (name, kind) in _FILES.items():
        content = Path(__file__).with_name(name).read_bytes()
        app.add_api_route(path, _sender(content, kind), methods=["GET"], include_in_schema=False)


def _sender(content: bytes, kind: str):  # type: ignore[no-untyped-def]
    def send() -> fastapi.Response:
        return fastapi.Response(content, media_type=kind)

    return send
