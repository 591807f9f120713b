"""A server over real sockets, around an application that only counts bytes."""

import contextlib
import http.client
import json
import socket
import threading
import time

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="needs pip install -e '.[serve]'")

from echo_app import echo  # noqa: E402

from dftk.serving import connections, security, server  # noqa: E402

GET = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\n"


@contextlib.contextmanager
def serving(app=echo, **options):
    """The port of a guarded application, and what opens a connection to it."""
    guarded = security.SecurityMiddleware(app, ("127.0.0.1",), 10**6, "too large", **options)
    with server.listening_socket("127.0.0.1", 0) as listener, contextlib.ExitStack() as opened:
        running = uvicorn.Server(server.uvicorn_config(guarded))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()

        def connect(data):
            connection = opened.enter_context(
                socket.create_connection(listener.getsockname(), timeout=10)
            )
            connection.sendall(data)
            return connection

        try:
            yield connect
        finally:
            opened.close()
            running.should_exit = True
            thread.join()


def answer(connection):
    """Status and JSON; None where the connection was closed without an answer."""
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
    except ConnectionError:
        return None
    return response.status, json.loads(response.read())


def closed_after(connection):
    started = time.monotonic()
    assert answer(connection) is None
    return time.monotonic() - started


def test_half_a_request_is_closed_and_dribbling_does_not_help(monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    with serving() as connect:
        half, silent, dribbling = connect(b"GET / HT"), connect(b""), connect(b"G")
        with contextlib.suppress(OSError):
            for _ in range(40):
                time.sleep(0.05)
                dribbling.sendall(b"x")
            pytest.fail("it was not closed")
        assert closed_after(half) < 1
        assert closed_after(silent) < 1


def test_half_of_a_second_request_is_closed_too(monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    with serving() as connect:
        connection = connect(POST + b"123456789")
        assert answer(connection) == (200, 9)
        connection.sendall(b"GET / HT")
        assert closed_after(connection) < 2


def test_silent_connections_keep_nobody_out(monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    with serving() as connect:
        half = [connect(b"GET / HT") for _ in range(20)]
        assert answer(connect(POST + b"123456789")) == (200, 9)
        assert closed_after(half[0]) < 1, "the longest idle one made room"


def test_a_body_that_does_not_come_is_answered_408(monkeypatch):
    monkeypatch.setattr(security, "_BODY_SECONDS", 0.3)
    with serving() as connect:
        status, content = answer(connect(POST + b"x"))
    assert (status, "only 1 bytes" in content["error"]) == (408, True)


def test_too_many_uploads_are_answered_503_and_the_page_still_opens():
    with serving(max_uploads=2) as connect:
        begun = [connect(POST + b"x") for _ in range(2)]
        time.sleep(0.2)
        status, content = answer(connect(POST + b"123456789"))
        assert (status, "2 uploads are under way" in content["error"]) == (503, True)
        page = connect(GET)
        assert page.recv(12) == b"HTTP/1.1 200"
        begun[0].sendall(b"12345678")
        assert answer(begun[0]) == (200, 9)
        assert answer(connect(POST + b"123456789")) == (200, 9)


def test_a_client_that_does_not_read_its_answer_is_cut_off(monkeypatch):
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.3)
    ended = threading.Event()

    async def long(_, receive, send):
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(10**6), "more_body": True})
        ended.set()

    with serving(long) as connect:
        connect(GET)
        assert ended.wait(10), "the application still writes"


def test_what_is_not_http_is_answered_in_json():
    with serving() as connect:
        status, content = answer(connect(b"\x16\x03\x01 hello\r\n\r\n"))
    assert status == 400
    assert "Invalid HTTP request" in content["error"]
