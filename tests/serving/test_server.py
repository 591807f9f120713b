"""The server in a process of its own: how it begins, answers and ends."""

import http.client
import signal
import socket
import subprocess
import sys
import types

import pytest
from http_client import JPEG, ask
from repository import ROOT

from dftk.serving import server
from dftk.utils.errors import UserError


def test_a_port_in_use_is_one_line():
    with server.listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        busy = pytest.raises(UserError, match=f"--port={port}: cannot listen there")
        with busy, server.listening_socket("127.0.0.1", port):
            pass


def test_missing_packages_are_named():
    with pytest.raises(UserError, match=r"needs nosuchpackage.*pip install -e '\.\[serve\]'"):
        server._require("nosuchpackage")


def test_names_it_answers_to(monkeypatch):
    fastapi = pytest.importorskip("fastapi", reason="needs pip install -e '.[serve]'")
    from dftk.serving import http_api

    monkeypatch.setattr(socket, "gethostname", lambda: "Box.lan")
    monkeypatch.setattr(http_api, "application", lambda _: fastapi.FastAPI())
    service = types.SimpleNamespace(limits=types.SimpleNamespace(max_bytes=1))
    own = server.application(service, "127.0.0.1", ["Faces.example"])
    assert (own.allowed_hosts, own.allow_ip_addresses) == (
        {*server.LOOPBACK, "faces.example"},
        False,
    )
    for host in ("0.0.0.0", "lab.example"):
        other = server.application(service, host)
        assert (other.allowed_hosts, other.allow_ip_addresses) == (
            {*server.LOOPBACK, host, "box.lan", "box"},
            True,
        )


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
    ],
)
def test_serves_until_a_signal_even_with_a_connection_open(trained, number):
    pytest.importorskip("fastapi", reason="needs pip install -e '.[serve]'")
    command = [sys.executable, "-m", "dftk.serve", f"--model={trained.model_path(0)}", "--port=0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        line = next(line for line in process.stderr if line.startswith("open "))
        address = line.split()[1].removeprefix("http://")
        assert address.startswith("127.0.0.1:"), "loopback by default"
        assert ask(address, "POST", "/api/predict", JPEG)[0] == 200
        idle = http.client.HTTPConnection(address)
        idle.connect()
        half = socket.create_connection(address.split(":"))
        half.send(b"POST /api/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\nx")
        process.send_signal(number)
        assert process.wait(timeout=10) == 128 + number, process.stderr.read()
        assert f"stopped by {number.name}" in process.stderr.read().splitlines()[-1]
    finally:
        process.kill()
