"""Real kagglehub against a real server on this machine, which it reaches as a proxy."""

import fcntl
import socket
import sys
from http import HTTPStatus

import pytest

pytest.importorskip("kagglehub", reason="needs pip install -e '.[kaggle]'")

import kaggle_server
from kaggle_server import SERVICE, STORAGE, ZIP, zipped

from tfds_rvf10k.download import kaggle_client
from tfds_rvf10k.download.kaggle_failures import DownloadFailed
from tfds_rvf10k.sources import listing


@pytest.fixture
def server(tmp_path, monkeypatch):
    with kaggle_server.running(tmp_path / "home", monkeypatch) as server:
        yield server


@pytest.fixture(autouse=True)
def surroundings(server):
    """Every test has the server."""


@pytest.fixture
def run(tmp_path):
    """Downloads; returns the archive's path."""
    return lambda dataset="owner/rvf10k": kaggle_client.download(dataset, str(tmp_path / "data"))


@pytest.fixture
def refused(run):
    """The one line that says why there is no download."""

    def refused():
        with pytest.raises(DownloadFailed) as error:
            run()
        assert error.value.remedy
        line = str(error.value)
        assert "\n" not in line
        return line

    return refused


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "data").iterdir())


def test_the_builder_reads_what_was_downloaded(run, server, tmp_path, monkeypatch, refused, capsys):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "a-token")
    assert run() == str(tmp_path / "data" / "rvf10k.zip")
    out, err = capsys.readouterr()
    assert out == ""
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
    run()  # it is there
    assert "is there; remove it to download it again" in capsys.readouterr().err
    assert not server.seen
    (tmp_path / "data" / "rvf10k.zip").write_bytes(ZIP[:-100])
    line = refused()
    assert "rvf10k.zip: not a zip archive, or not all of one" in line
    assert line.endswith(f"; remove {tmp_path / 'data' / 'rvf10k.zip'} first")


def test_a_version_has_a_file_of_its_own(run, server, tmp_path):
    run("owner/rvf10k/versions/3")
    assert left(tmp_path) == ["rvf10k-v3.zip"]
    assert server.seen[-1][0] == f"{STORAGE}?v=3"


def test_a_download_that_broke_off_goes_on(run, server, tmp_path, refused):
    server.cut = 2_500_000
    line = refused()
    assert "broke off (IncompleteRead(2500000 bytes read" in line
    assert "it goes on from there" in line
    assert left(tmp_path) == [".rvf10k.zip.v7.part"]
    with pytest.raises(FileNotFoundError):
        listing.find_source(str(tmp_path / "data"), listing.Layout(), "")

    server.cut = None
    run()
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
    (500, "", "", "a fault of the server; wait some minutes"),
]


@pytest.mark.parametrize(("status", "words", "token", "cause"), REFUSALS)
def test_a_refusal_names_its_cause(
    status, words, token, cause, server, tmp_path, monkeypatch, refused
):
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    server.refusal = status, words
    line = refused()
    said = " ".join(words.split()) or HTTPStatus(status).phrase
    assert line.startswith(f"owner/rvf10k: localhost answers {status} ({said})")
    assert cause in line
    assert left(tmp_path) == []


def test_credentials_in_files(server, tmp_path, refused):
    folder = tmp_path / "home" / ".kaggle"
    (folder / "kaggle.json").write_text("{")
    assert f"Invalid Kaggle credentials file at {folder}/kaggle.json; remove it" in refused()
    (folder / "kaggle.json").write_text('{"username": "me", "key": "0"}')
    server.refusal = 401, "Unauthenticated"
    assert "what kaggle.json holds is not valid" in refused()
    (folder / "access_token").write_text("a-token\n")
    assert "what ~/.kaggle/access_token holds is not valid" in refused()
    assert server.seen[-1][1]["Authorization"] == "Bearer a-token"


def test_what_is_not_the_archive_is_not_kept(server, tmp_path, refused):
    server.digest = bytes(16)
    assert "not what was sent (MD5); run the command again" in refused()
    server.digest, server.data = None, b"<html>log in</html>"
    assert "what came is not kept: not a zip archive" in refused()
    server.data = zipped(["../x.jpg"])
    assert "not kept: entry '../x.jpg' has a name that leads out" in refused()
    assert left(tmp_path) == []


def test_a_server_that_sends_all_where_the_rest_was_asked_for(server, tmp_path, refused):
    """kagglehub appends it."""
    server.digest, server.cut = None, 2_500_000
    refused()
    server.cut, server.ranges = None, False
    assert f"{len(ZIP) + 2**21:,} bytes where {len(ZIP):,} belong" in refused()
    assert left(tmp_path) == []


def test_a_full_disk(tmp_path, refused):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".rvf10k.zip.v7.part").symlink_to("/dev/full")
    line = refused()
    assert f"{tmp_path / 'data'}: No space left on device; free space, then run" in line


def test_an_output_that_is_no_folder(tmp_path, refused):
    (tmp_path / "data").write_text("")
    assert "data: File exists; give another --output" in refused()


def test_a_second_download_of_the_same(tmp_path, refused):
    (tmp_path / "data").mkdir()
    with open(tmp_path / "data" / ".rvf10k.zip.v7.part", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another process downloads it; wait for it" in refused()


def test_no_way_to_kaggle(server, monkeypatch, refused):
    server.page = b"<html>log in</html>"
    assert "what answers is not Kaggle" in refused()
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "PROD")  # by https
    assert "the proxy does not let through" in refused()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert "Connection refused); check HTTPS_PROXY" in refused()
    monkeypatch.delenv("https_proxy")
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("http_proxy", "")
    assert "no connection (" in refused()  # nothing listens at port 80


def test_progress_is_lines_where_there_is_no_terminal(run, monkeypatch, capsys):
    monkeypatch.setattr(kaggle_client, "_LINE_INTERVAL", 0)
    run()
    err = capsys.readouterr().err
    assert "\r" not in err
    assert "100%" in err


def test_without_kagglehub(monkeypatch, refused):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert "pip install 'kagglehub>=0.4,<2'" in refused()
