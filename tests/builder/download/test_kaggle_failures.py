"""What requests raises over real sockets on this machine, as one line; refusals: test_kaggle.py."""

import http.server
import io
import socket
import threading

import pytest
import requests

pytest.importorskip("kagglehub", reason="needs pip install -e '.[kaggle]'")

from tfds_rvf10k.download import kaggle_failures, kagglehub_compat


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
    credentials = kagglehub_compat.credentials_used()
    line = str(kaggle_failures.from_request(error.value, "owner/name", credentials))
    assert "\n" not in line
    assert " object at 0x" not in line
    assert line.startswith("owner/name: ")
    return line.removeprefix("owner/name: ")


def test_no_answer_in_time(listener):
    port = listener.getsockname()[1]
    line = failure(f"http://127.0.0.1:{port}", timeout=0.05)
    assert line.startswith("no answer in time (timed out); run the same command again")


def test_a_name_that_nobody_knows():
    line = failure("http://kaggle.invalid")
    assert line.startswith("no connection (")
    assert "resol" in line or "not known" in line or "No address" in line  # the system's own words
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


def test_a_download_that_stalls_is_a_timeout():
    """requests raises it as a ConnectionError, with the timeout inside."""

    class Stall(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.flush()
            released.wait(10)

        def log_message(self, *_):
            pass

    released = threading.Event()
    with http.server.HTTPServer(("127.0.0.1", 0), Stall) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(requests.ConnectionError) as error:
            requests.get(address, timeout=0.05)
        released.set()
        thread.join()
    failed = kaggle_failures.from_request(error.value, "owner/name", "")
    assert failed.what == "owner/name: no answer in time (timed out)"


def test_a_refused_connection_is_no_timeout():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    line = failure(address, timeout=5)
    assert line.startswith("no connection (Connection refused); check the network")


def test_words_are_kaggles_only_if_its_answer_has_some():
    for content, said in (
        (b'{"message": "no\\ncoffee"}', "no coffee"), (b'{"message": ""}', "Teapot"),
        (b"[1]", "Teapot"), (b"<html>", "Teapot"),
    ):  # fmt: skip
        response = requests.Response()
        response.status_code, response.reason, response.url = 418, "Teapot", "http://k/?signature=1"
        response.raw = io.BytesIO(content)
        failed = kaggle_failures.from_request(
            requests.HTTPError("418 Error for url: http://k/?signature=1", response=response),
            "owner/name",
            "",
        )
        assert failed.what == f"owner/name: k answers 418 ({said})"
