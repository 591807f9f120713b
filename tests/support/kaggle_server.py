"""Kaggle's API and its storage on this machine, which kagglehub reaches as a proxy."""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import re
import threading
import zipfile

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


class KaggleServer(http.server.ThreadingHTTPServer):
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
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusal = self.page = self.cut = None
        self.ranges = True
        self.data = ZIP
        self.digest = hashlib.md5(ZIP).digest()
        self.seen = []


class _Handler(http.server.BaseHTTPRequestHandler):
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


@contextlib.contextmanager
def running(home, monkeypatch):
    """A server that takes all requests to Kaggle, and no credentials of whoever runs the tests."""
    with KaggleServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name in (
            *("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_KERNEL_RUN_TYPE"),
            *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "no_proxy", "NO_PROXY"),
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home / ".kaggle"))
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_address[1]}")
        (home / ".kaggle").mkdir(parents=True)
        yield server
        server.shutdown()
        thread.join()
