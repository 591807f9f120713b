"""Canaries: a failure names the release of uvicorn or Starlette that changed what dftk needs."""

import contextlib
import importlib.metadata
import inspect
import threading

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="needs pip install -e '.[serve]'")
pytest.importorskip("fastapi", reason="needs pip install -e '.[serve]'")

import http_client  # noqa: E402
from echo_app import echo  # noqa: E402

from dftk.serving import framework_internals, server  # noqa: E402

UVICORN = f"uvicorn {importlib.metadata.version('uvicorn')}"
STARLETTE = f"starlette {importlib.metadata.version('starlette')}"


def test_nothing_is_missing_with_the_installed_releases():
    assert framework_internals.missing() == []


def test_uvicorn_makes_protocols_and_reports_requests_as_dftk_expects():
    """The rest of what is used is in test_connections, over real sockets."""
    protocol = framework_internals.H11Protocol
    assert set(inspect.signature(protocol).parameters) == {
        "config", "server_state", "app_state", "_loop"
    }, f"{UVICORN} calls protocols with other arguments"  # fmt: skip
    assert "send_400_response" in vars(protocol), f"{UVICORN} answers non-HTTP otherwise"
    assert "app_state" in inspect.getsource(protocol), f"{UVICORN} passes on no state"


def test_starlettes_form_parser_has_a_limit_for_files_in_memory():
    parser = framework_internals.MultiPartParser
    names = framework_internals._SPOOL_LIMITS
    assert any(name in vars(parser) for name in names), f"{STARLETTE} names the limit otherwise"


def test_without_the_protocol_the_server_works_and_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(framework_internals, "H11Protocol", None)
    monkeypatch.setattr(framework_internals, "MultiPartParser", object)
    assert framework_internals.missing() == [
        f"{UVICORN} has another HTTP protocol: slow connections are not closed",
        f"{STARLETTE} has another form parser: large uploads are written to disk",
    ]
    with server.listening_socket("127.0.0.1", 0) as listener, contextlib.ExitStack() as at_end:
        running = uvicorn.Server(server.uvicorn_config(echo_http_only))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        at_end.callback(thread.join)
        at_end.callback(setattr, running, "should_exit", True)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert http_client.ask(address, "POST", "/", b"123") == (200, 3)


async def echo_http_only(scope, receive, send):
    if scope["type"] == "http":
        await echo(scope, receive, send)


def test_a_release_without_the_error_method_is_named(monkeypatch):
    class Protocol:
        def __init__(self, config, server_state, app_state, _loop=None):
            pass

    monkeypatch.setattr(framework_internals, "H11Protocol", Protocol)
    (sentence,) = framework_internals.missing()
    assert sentence.startswith(f"{UVICORN} has no send_400_response")
