"""Real kagglehub against a real server on this machine, which it reaches as a proxy."""

import base64
import fcntl
import hashlib
import http.server
import io
import json
import re
import socket
import sys
import threading
import zipfile
from http import HTTPStatus

import pytest

pytest.importorskip("kagglehub", reason="needs pip install -e '.[kaggle]'")

from tfds_rvf10k import kaggle
from tfds_rvf10k.sources import listing

SERVICE = "http://localhost/api/v1/datasets.DatasetApiService/"
STORAGE = "http://storage.test/rvf10k.zip"


def zipped(names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, name.encode() * 12_000)
    return file.getvalue()


FOLDERS = [f"{split}/{label}" for split in ("train", "valid") for label in ("real", "fake")]
# Four chunks of kagglehub's, which keeps whole ones.
ZIP = zipped(f"rvf10k/{folder}/{i}.jpg" for folder in FOLDERS for i in range(3))


class Kaggle(http.server.ThreadingHTTPServer):
    """Kaggle's API and the storage it sends on to, as far as a dataset's download goes.

    Attributes:
      refusal: status and words of the API's every answer, or None.
      page: an HTML page that answers instead of the API, or None.
      data: the archive.
      cut: bytes after which a download breaks off, or None.
      digest: MD5 of the archive, or another one, or None for no header.
      ranges: whether the storage gives the part it is asked for, or all of it.
      seen: method, address and headers of all requests.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.refusal = self.page = self.cut = None
        self.ranges = True
        self.data = ZIP
        self.digest = hashlib.md5(ZIP).digest()
        self.seen = []


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers)))
        if self.server.page:
            self.answer(200, self.server.page, {"Content-Type": "text/html"})
        elif self.server.refusal:
            status, words = self.server.refusal
            self.json(status, {"code": status, "message": words} if words else [])
        elif self.path == SERVICE + "GetDataset":
            assert (asked["ownerSlug"], asked["datasetSlug"]) == ("owner", "rvf10k")
            self.json(200, {"currentVersionNumber": 7})
        elif self.path == SERVICE + "DownloadDataset":
            self.answer(302, b"", {"Location": f"{STORAGE}?v={asked['datasetVersionNumber']}"})

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        start, status = 0, 200
        if self.server.ranges and (asked := self.headers["Range"]):
            start, status = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]), 206
        headers = {"Content-Type": "application/zip", "Accept-Ranges": "bytes"}
        if self.server.digest:
            digest = base64.b64encode(self.server.digest).decode()
            headers["X-Goog-Hash"] = f"crc32c=n03x6A==,md5={digest}"
        self.answer(status, self.server.data[start:], headers, self.server.cut)

    def do_CONNECT(self):
        self.send_error(403)

    def json(self, status, content):
        self.answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def answer(self, status, body, headers, cut=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Kaggle() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def surroundings(server, tmp_path, monkeypatch):
    """No credentials of whoever runs the tests, and this server for Kaggle."""
    for name in (
        *("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_KERNEL_RUN_TYPE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "no_proxy", "NO_PROXY"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home" / ".kaggle"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_address[1]}")
    (tmp_path / "home" / ".kaggle").mkdir(parents=True)


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command; returns its status, what it printed, and what it said."""

    def run(dataset="owner/rvf10k"):
        status = kaggle.main([f"--output={tmp_path / 'data'}", f"--dataset={dataset}"])
        return status, *capsys.readouterr()

    return run


def refused(result):
    """The one line that says why."""
    status, out, err = result
    *before, line = err.splitlines()
    assert status == 1
    assert not out
    assert len(before) <= 1  # "downloading", once it had begun
    assert ";" in line
    return line


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "data").iterdir())


def test_the_builder_reads_what_was_downloaded(run, server, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "a-token")
    status, out, err = run()
    assert (status, out) == (
        0,
        f"tfds build tfds_rvf10k --manual_dir={tmp_path / 'data' / 'rvf10k.zip'}\n",
    )
    assert err.splitlines()[0] == "owner/rvf10k, version 7: downloading"
    assert left(tmp_path) == ["rvf10k.zip"]
    assert (tmp_path / "data" / "rvf10k.zip").read_bytes() == ZIP
    source = listing.find_source(str(tmp_path / "data"), listing.Layout(), "")
    assert len(listing.list_images(source, listing.Layout()).images) == 12
    tokens = {
        path.startswith(SERVICE): headers.get("Authorization") for path, headers in server.seen
    }
    assert tokens == {True: "Bearer a-token", False: None}

    server.seen.clear()
    assert run()[0] == 0  # it is there
    assert not server.seen
    (tmp_path / "data" / "rvf10k.zip").write_bytes(ZIP[:-100])
    assert "rvf10k.zip: not a zip archive, or not all of one" in refused(run())


def test_a_version_and_the_address_of_a_page(run, server, tmp_path):
    assert run("https://www.kaggle.com/datasets/owner/rvf10k/versions/3")[0] == 0
    assert left(tmp_path) == ["rvf10k-v3.zip"]
    assert server.seen[-1][0] == f"{STORAGE}?v=3"


def test_a_download_that_broke_off_goes_on(run, server, tmp_path):
    server.cut = 2_500_000
    line = refused(run())
    assert "broke off (IncompleteRead(2500000 bytes read" in line
    assert "it goes on from there" in line
    assert left(tmp_path) == [".rvf10k.zip.v7.part"]
    with pytest.raises(FileNotFoundError):
        listing.find_source(str(tmp_path / "data"), listing.Layout(), "")

    server.cut = None
    assert run()[0] == 0
    assert server.seen[-1][1]["Range"] == "bytes=2097152-"
    assert (tmp_path / "data" / "rvf10k.zip").read_bytes() == ZIP
    assert left(tmp_path) == ["rvf10k.zip"]


REFUSALS = [  # status, what Kaggle says, a token, the end of the line
    (401, "No user", "", "wants an account, and no credentials are set; make a token at https://"),
    (401, "No user", "old", "what KAGGLE_API_TOKEN holds is not valid, or no more; make a token"),
    (403, "Permission denied", "", "it wants an account, and no credentials are set; make a token"),
    (
        403,
        "Consent\nrequired",
        "good",
        "to what KAGGLE_API_TOKEN holds; open https://www.kaggle.com",
    ),
    (404, "", "good", "no such dataset or version; check --dataset"),
    (429, "Slow down", "good", "too many requests; wait some minutes"),
    (500, "", "", "a fault over there; wait some minutes"),
]


@pytest.mark.parametrize(("status", "words", "token", "cause"), REFUSALS)
def test_a_refusal_names_its_cause(status, words, token, cause, run, server, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    server.refusal = status, words
    line = refused(run())
    said = " ".join(words.split()) or HTTPStatus(status).phrase
    assert line.startswith(f"owner/rvf10k: localhost answers {status} ({said})")
    assert cause in line
    assert left(tmp_path) == []


def test_credentials_in_files(run, server, tmp_path):
    folder = tmp_path / "home" / ".kaggle"
    (folder / "kaggle.json").write_text("{")
    assert f"Invalid Kaggle credentials file at {folder}/kaggle.json; remove it" in refused(run())
    (folder / "kaggle.json").write_text('{"username": "me", "key": "0"}')
    server.refusal = 401, "Unauthenticated"
    assert "what kaggle.json holds is not valid" in refused(run())
    (folder / "access_token").write_text("a-token\n")
    assert "what ~/.kaggle/access_token holds is not valid" in refused(run())
    assert server.seen[-1][1]["Authorization"] == "Bearer a-token"


def test_what_is_not_the_archive_is_not_kept(run, server, tmp_path):
    server.digest = bytes(16)
    assert "not what was sent (MD5); run the command again" in refused(run())
    server.digest, server.data = None, b"<html>log in</html>"
    assert "what came is not kept: not a zip archive" in refused(run())
    server.data = zipped(["../x.jpg"])
    assert "not kept: entry '../x.jpg' has a name that leads out" in refused(run())
    assert left(tmp_path) == []


def test_a_server_that_sends_all_where_the_rest_was_asked_for(run, server, tmp_path):
    """kagglehub appends it."""
    server.digest, server.cut = None, 2_500_000
    refused(run())
    server.cut, server.ranges = None, False
    assert f"{len(ZIP) + 2**21:,} bytes where {len(ZIP):,} belong" in refused(run())
    assert left(tmp_path) == []


def test_a_full_disk(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".rvf10k.zip.v7.part").symlink_to("/dev/full")
    line = refused(run())
    assert f"{tmp_path / 'data'}: No space left on device; free space, then run" in line


def test_an_output_that_is_no_folder(run, tmp_path):
    (tmp_path / "data").write_text("")
    assert "data: File exists; give another --output" in refused(run())


def test_a_second_download_of_the_same(run, tmp_path):
    (tmp_path / "data").mkdir()
    with open(tmp_path / "data" / ".rvf10k.zip.v7.part", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another process downloads it; wait for it" in refused(run())


def test_no_way_to_kaggle(run, server, monkeypatch):
    server.page = b"<html>log in</html>"
    assert "what answers is not Kaggle" in refused(run())
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "PROD")  # by https
    assert "the proxy does not let through" in refused(run())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert "Connection refused); check HTTPS_PROXY" in refused(run())
    monkeypatch.delenv("https_proxy")
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("http_proxy", "")
    assert "no connection (" in refused(run())  # nothing listens at port 80


def test_lines_where_there_is_no_terminal(run, monkeypatch):
    monkeypatch.setattr(kaggle, "_LINE_EVERY", 0)
    err = run()[2]
    assert "\r" not in err
    assert "100%" in err


@pytest.mark.parametrize("handle", ["rvf10k", "a/b/c", "../x/y", "a/b/versions/0", ""])
def test_a_handle_that_is_none_is_a_usage_error(handle, run, capsys):
    with pytest.raises(SystemExit) as error:
        run(handle)
    assert error.value.code == 2
    assert f"{handle!r} is not OWNER/NAME" in capsys.readouterr().err


def test_without_kagglehub(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert "pip install 'kagglehub>=0.4,<2'" in refused(run())
