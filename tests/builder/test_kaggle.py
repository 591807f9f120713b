"""The command; what it downloads: download/test_kaggle_client.py."""

import pytest

pytest.importorskip("kagglehub", reason="needs pip install -e '.[kaggle]'")

import kaggle_server
from kaggle_server import STORAGE

from tfds_rvf10k import kaggle


@pytest.fixture(autouse=True)
def server(tmp_path, monkeypatch):
    with kaggle_server.running(tmp_path / "home", monkeypatch) as server:
        yield server


def run(tmp_path, dataset):
    return kaggle.main([f"--output={tmp_path / 'it is'}", f"--dataset={dataset}"])


def test_it_prints_the_next_command_and_nothing_else_on_stdout(tmp_path, capsys):
    assert run(tmp_path, "owner/rvf10k") == 0
    out, err = capsys.readouterr()
    path = tmp_path / "it is" / "rvf10k.zip"
    assert out == f"python -m tfds_rvf10k.build --manual_dir='{path}'\n"
    assert err.splitlines()[-1] == f"{path}: {path.stat().st_size:,} bytes; next:"


def test_the_address_of_a_page_is_taken(server, tmp_path):
    assert run(tmp_path, "https://www.kaggle.com/datasets/owner/rvf10k/versions/3") == 0
    assert server.seen[-1][0] == f"{STORAGE}?v=3"


def test_a_failure_is_one_line_and_status_1(server, tmp_path, capsys):
    server.refusal = 404, "Not found"
    assert run(tmp_path, "owner/rvf10k") == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert "no such dataset or version; check --dataset" in line


@pytest.mark.parametrize("handle", ["rvf10k", "a/b/c", "../x/y", "a/b/versions/0", ""])
def test_a_handle_that_is_none_is_a_usage_error(handle, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        run(tmp_path, handle)
    assert error.value.code == 2
    assert f"{handle!r} is not OWNER/NAME" in capsys.readouterr().err
