import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from repository import ROOT

from dftk.input import raw_file, residency
from dftk.input.pipeline import ImageRecords
from dftk.utils.errors import UserError

SHAPE = (64, 64, 3)


def test_written_once_then_read_again(copy, examples, monkeypatch):
    shards = copy().train
    first = raw_file.RawFileStore(ImageRecords(shards, SHAPE))
    assert (first.path / "pixels.u8").stat().st_size == 400 * 64 * 64 * 3
    monkeypatch.setattr(raw_file.RawFileStore, "_write", None)  # a second write would fail
    again = raw_file.RawFileStore(ImageRecords(shards, SHAPE))
    rows = np.random.default_rng(0).permutation(400)
    np.testing.assert_array_equal(again.fetch(rows), examples.fetch(rows))
    for name in ("labels", "folds", "filenames"):
        np.testing.assert_array_equal(getattr(again, name), getattr(examples, name))
        np.testing.assert_array_equal(getattr(first, name), getattr(examples, name))


def test_the_path_depends_on_data_size_and_length(copy):
    shards = copy().train
    base = raw_file.cache_path(shards, None)
    others = [
        raw_file.cache_path(shards, 32),
        raw_file.cache_path(residency.limit_examples(shards, 200), None),
    ]
    os.utime(shards[3].path)
    others.append(raw_file.cache_path(shards, None))
    assert len({base, *others}) == 4


def flip(path):
    with (path / "pixels.u8").open("r+b") as file:
        file.seek(123_456)
        byte = file.read(1)
        file.seek(123_456)
        file.write(bytes([byte[0] ^ 1]))


def no_checksums(path):
    index = json.loads((path / "index.json").read_text())
    (path / "index.json").write_text(json.dumps({**index, "checksums": []}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "index.json").write_text("[]"), "incomplete"),
        (no_checksums, "0 checksums, not 2"),
        (flip, "checksum 1 of 2 differs"),
        (
            lambda path: os.truncate(path / "pixels.u8", 1000),
            "pixels.u8 has 1000 bytes, not 4915200",
        ),
        (lambda path: (path / "columns.npz").write_bytes(b"?"), "checksum 0 of 2 differs"),
        (lambda path: (path / "index.json").unlink(), "incomplete"),
        (lambda path: (path / "index.json").write_text("{"), "incomplete"),
    ],
)
def test_damage_is_reported_and_the_file_written_again(copy, examples, damage, message, capfd):
    shards = copy().train
    path = raw_file.RawFileStore(ImageRecords(shards, SHAPE)).path
    damage(path)
    again = raw_file.RawFileStore(ImageRecords(shards, SHAPE))
    assert f"{path}: {message}" in capfd.readouterr().err
    rows = np.arange(0, 400, 7)
    np.testing.assert_array_equal(again.fetch(rows), examples.fetch(rows))


def test_a_file_cut_in_use_is_an_error(copy):
    found = raw_file.RawFileStore(ImageRecords(copy().train, SHAPE))
    os.truncate(found.path / "pixels.u8", 64 * 64 * 3 * 10)
    found._read(np.array([9]))
    with pytest.raises(OSError, match="cut while it was in use"):
        found._read(np.array([9, 10]))


def test_a_folder_that_cannot_be_written_is_named(copy):
    shards = copy().train
    (Path(shards[0].path).parent / "dftk_pixels").write_text("in the way")
    with pytest.raises(
        UserError, match=r"--cache=disk: cannot write \S+dftk_pixels.*another --cache"
    ):
        raw_file.RawFileStore(ImageRecords(shards, SHAPE))


def test_a_write_in_part_is_an_error(copy, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: real(file, data[:-1], at))
    shards = copy().train
    with pytest.raises(UserError, match="--cache=disk: cannot write"):
        raw_file.RawFileStore(ImageRecords(shards, SHAPE))
    assert not raw_file.cache_path(shards, None).exists()


SLOW_WRITER = """
import sys, time
from dftk.datasets import catalog
from dftk.input import pipeline, raw_file
shards = catalog.open_dataset(sys.argv[1], None, 5).train
def progress(done):
    print(done, flush=True)
    time.sleep(float(sys.argv[2]))
raw_file.RawFileStore(pipeline.open_records(shards, None), progress)
"""


def start_writer(shards, pause):
    command = [sys.executable, "-c", textwrap.dedent(SLOW_WRITER)]
    command += [str(Path(shards[0].path).parent), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_kill_9_leaves_nothing_that_is_taken_for_a_whole_file(copy, examples):
    shards = copy().train
    writer = start_writer(shards, 60)
    assert int(writer.stdout.readline()) > 0, "in the middle of writing"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    folder = raw_file.cache_path(shards, None)
    assert not folder.exists()
    assert len(list(folder.parent.iterdir())) == 1, "its temporary folder"
    found = raw_file.RawFileStore(ImageRecords(shards, SHAPE))
    assert list(folder.parent.iterdir()) == [folder], "and that went with the next write"
    np.testing.assert_array_equal(found.fetch([399]), examples.fetch([399]))


def test_two_writers_at_once(copy, examples):
    shards = copy().train
    writers = [start_writer(shards, 0.05) for _ in range(2)]
    assert [writer.wait() for writer in writers if writer.communicate()] == [0, 0]
    folder = raw_file.cache_path(shards, None)
    assert list(folder.parent.iterdir()) == [folder]
    assert json.loads((folder / "index.json").read_text())["bytes"] == 400 * 64 * 64 * 3
    found = raw_file.RawFileStore(ImageRecords(shards, SHAPE))
    np.testing.assert_array_equal(found.fetch([0, 399]), examples.fetch([0, 399]))
