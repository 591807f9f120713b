"""The parts of uvicorn and Starlette that dftk.serve needs although they are not documented.

Without one of them the server still works, with less protection; `missing` says what is lost.
tests/serving/test_framework_internals.py fails as soon as an upgrade changes one of them.
"""

import asyncio
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Callable

from starlette.formparsers import MultiPartParser

try:
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError:  # `missing` says so
    H11Protocol = None  # type: ignore[assignment, misc]

# How uvicorn.Server calls a protocol class, apart from `_loop`, which is handed on as it is.
_PROTOCOL_ARGUMENTS = {"config", "server_state", "app_state"}
_SPOOL_LIMITS = ("spool_max_size", "max_file_size")  # the latter is the older name


class InMemoryFormParser(MultiPartParser):
    """Parses multipart forms in memory, whatever the size of a file; SecurityMiddleware limits it.

    Starlette's own parser writes files above 1 MB to a temporary file.
    """

    spool_max_size = max_file_size = sys.maxsize


def http_protocol() -> Callable[..., asyncio.Protocol] | None:
    """uvicorn's HTTP/1.1 protocol; None where this release of uvicorn has another one.

    It answers what is not HTTP in JSON, as the application answers all other errors.
    """
    if H11Protocol is None or not _arguments(H11Protocol) >= _PROTOCOL_ARGUMENTS:
        return None

    class JsonErrorProtocol(H11Protocol):
        def send_400_response(self, msg: str) -> None:
            body = json.dumps({"error": f"{msg} Send HTTP/1.1"}).encode()
            self.transport.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
            )
            self.transport.close()

    return JsonErrorProtocol


def missing() -> list[str]:
    """What does not work with the installed releases, one sentence each; usually nothing."""
    found = []
    uvicorn = f"uvicorn {importlib.metadata.version('uvicorn')}"
    starlette = f"starlette {importlib.metadata.version('starlette')}"
    if http_protocol() is None:
        found.append(f"{uvicorn} has another HTTP protocol: slow connections are not closed")
    elif not hasattr(H11Protocol, "send_400_response"):
        found.append(f"{uvicorn} has no send_400_response: its error for non-HTTP is plain text")
    if not any(hasattr(MultiPartParser, name) for name in _SPOOL_LIMITS):
        found.append(f"{starlette} has another form parser: large uploads are written to disk")
    return found


def _arguments(function: Callable[..., object]) -> set[str]:
    return set(inspect.signature(function).parameters)
