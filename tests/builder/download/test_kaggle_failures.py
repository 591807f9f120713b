"""What requests raises over real sockets on this machine, as one line; refusals: test_kaggle.py."""

import http.server
import socket
import threading

import pytest
import requests

pytest.importorskip("kagglehub", reason="needs pip install -e '.[kaggle]'")

from tfds_rvf10k.download import kaggle_failures


@pytest.fixture
def listener():
    """A socket that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)


def failure(address, **options):
    with pytest.raises(requests.RequestException) as error:
        requests.get(address, **options).raise_for_status()
    line = kaggle_failures.explain(error.value, "owner/name")
    assert "\n" not in line
    assert " object at 0x" not in line
    return line


def test_no_answer_in_time(listener):
    port = listener.getsockname()[1]
    line = failure(f"http://127.0.0.1:{port}", timeout=0.05)
    assert line.startswith("no answer in time (Read timed out. (read timeout=0.05)); run")


def test_a_name_that_nobody_knows():
    line = failure("http://kaggle.invalid")
    assert line.startswith("no connection (Failed to ")
    assert "; check the network and HTTPS_PROXY" in line


def test_a_tls_that_fails(listener):
    """Text where TLS belongs; a wrong signature takes the same way."""

    def speak():
        with listener.accept()[0] as connection:
            connection.recv(1)
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=speak)
    thread.start()
    line = failure(f"https://127.0.0.1:{listener.getsockname()[1]}")
    thread.join()
    assert line.startswith("TLS fails ([SSL: ")
    assert "REQUESTS_CA_BUNDLE" in line


def test_a_storage_that_refuses_does_not_show_a_signed_address(tmp_path):
    class Refusal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    (tmp_path / "kaggle.json").write_text('{"username": "me", "key": "0"}')
    with http.server.HTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        line = failure(f"http://127.0.0.1:{server.server_address[1]}/x.zip?signature=secret")
        thread.join()
    assert line.startswith("127.0.0.1 answers 403 (Forbidden) to what kaggle.json holds; open")
    assert "secret" not in line


def test_where_credentials_come_from_in_the_order_of_kagglehub(tmp_path, monkeypatch):
    assert kaggle_failures.credentials_used() == ""
    (tmp_path / "kaggle.json").write_text('{"username": "me", "key": "0"}')
    assert kaggle_failures.credentials_used() == "kaggle.json"
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "0")
    assert kaggle_failures.credentials_used() == "KAGGLE_KEY"
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle" / "access_token").write_text("t")
    assert kaggle_failures.credentials_used() == "~/.kaggle/access_token"
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t")
    assert kaggle_failures.credentials_used() == "KAGGLE_API_TOKEN"
