import hashlib
import os
import pickle
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from repository import ROOT

from dftk.input import disk_cache
from dftk.input.shards import Shard
from dftk.utils.errors import UserError

FILES = ("small", "large")
MESSAGE = r"^--this=that: cannot write \S+key \(.*\); try another$"


def cache_at(path):
    return disk_cache.DiskCache(path, FILES, "--this=that", "try another")


def write(path):
    with cache_at(path).atomic_write() as folder:
        for name in FILES:
            (folder / name).write_text(name)


def test_a_folder_is_written_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "dftk_things" / "key"
    assert not cache_at(path).validate()
    with pytest.raises(ZeroDivisionError), cache_at(path).atomic_write() as folder:
        (folder / "small").write_text("half")
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    write(path)
    assert cache_at(path).validate()
    assert sorted(file.name for file in path.iterdir()) == ["index.json", "large", "small"]


def test_a_resumable_write_stays_until_it_is_complete(tmp_path):
    path = tmp_path / "dftk_things" / "key"
    with pytest.raises(ZeroDivisionError), cache_at(path).resumable_write() as folder:
        (folder / "small").write_text("half")
        raise ZeroDivisionError
    assert not cache_at(path).validate()
    with cache_at(path).resumable_write() as folder:
        assert (folder / "small").read_text() == "half"
        (folder / "large").write_text("rest")
        (folder / ".part-of-a-killed-one").touch()
    assert cache_at(path).validate()
    assert list(path.parent.iterdir()) == [path]
    assert sorted(file.name for file in path.iterdir()) == ["index.json", "large", "small"]


def test_a_partial_folder_survives_an_atomic_write_until_it_is_removed(tmp_path):
    path = tmp_path / "dftk_things" / "key"
    with pytest.raises(ZeroDivisionError), cache_at(path).resumable_write() as folder:
        raise ZeroDivisionError
    write(path)
    assert folder.exists()
    cache_at(path).remove_partial()
    assert list(path.parent.iterdir()) == [path]


def test_a_changed_byte_in_any_file_is_found_and_the_folder_removed(tmp_path, capfd):
    for name, number in (("small", 0), ("large", 1)):
        path = tmp_path / "dftk_things" / name
        write(path)
        (path / name).write_text(name.upper())
        assert not cache_at(path).validate()
        assert not path.exists()
        assert f"checksum {number} of 2 differs; written again" in capfd.readouterr().err


def test_the_path_depends_on_recipe_and_shards(dataset):
    shards = dataset.train
    first = disk_cache.cache_path(shards, "a", "things")
    assert first.parent.name == "dftk_things"
    others = [
        disk_cache.cache_path(shards, "b", "things"),
        disk_cache.cache_path(shards[1:], "a", "things"),
    ]
    assert len({first.name, *(other.name for other in others)}) == 3


def test_a_second_process_waits(tmp_path):
    path = tmp_path / "dftk_things" / "key"
    code = (
        "import pathlib; from dftk.input.disk_cache import DiskCache\n"
        f"with DiskCache(pathlib.Path({str(path)!r}), (), '', '').lock(): print('in', flush=True)"
    )
    with cache_at(path).lock():
        other = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        line = next(line for line in other.stderr if "another process" in line)
        assert line.startswith(f"{path}: another process is writing it; waiting")
        time.sleep(0.2)
        assert other.poll() is None
    assert other.communicate()[0] == "in\n"


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path):
    (tmp_path / "dftk_things").write_text("in the way")
    with pytest.raises(UserError, match=MESSAGE):
        write(tmp_path / "dftk_things" / "key")
    with pytest.raises(UserError, match=MESSAGE), cache_at(tmp_path / "dftk_things" / "key").lock():
        pass


def test_the_error_has_fields_and_survives_pickling(tmp_path):
    (tmp_path / "dftk_things").write_text("in the way")
    with pytest.raises(disk_cache.CacheError) as caught:
        write(tmp_path / "dftk_things" / "key")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.requested_by, error.remedy) == ("--this=that", "try another")
    assert error.path == tmp_path / "dftk_things" / "key"
    assert error.reason in ("File exists", "Not a directory")


def test_the_key_of_the_first_edition_is_kept(tmp_path, monkeypatch):
    """Existing folders are found again."""
    monkeypatch.setattr(tf, "__version__", "2.20.0")
    shard = tmp_path / "train.tfrecord"
    shard.write_bytes(b"12345")
    os.utime(shard, ns=(10**18, 10**18))
    path = disk_cache.cache_path([Shard(str(shard), length=3, fold=0)], "2 None", "pixels")
    text = f"2 None\n2.20.0\ntrain.tfrecord 3 5 {10**18}"
    assert path == tmp_path / "dftk_pixels" / hashlib.sha256(text.encode()).hexdigest()[:16]
    assert path.name == "faa29bf6fbc61c3b"
