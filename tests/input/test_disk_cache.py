import subprocess
import sys
import time

import pytest
from repository import ROOT

from dftk.input import disk_cache
from dftk.utils.errors import UserError

FILES = ("small", "large")
MESSAGE = r"^--this=that: cannot write \S+key \(.*\); try another$"


def at(path):
    return disk_cache.DiskCache(path, FILES, "--this=that", "try another")


def write(path):
    with at(path).atomic_write() as folder:
        for name in FILES:
            (folder / name).write_text(name)


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "dftk_things" / "key"
    assert not at(path).validate()
    with pytest.raises(ZeroDivisionError), at(path).atomic_write() as folder:
        (folder / "small").write_text("half")
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    write(path)
    assert at(path).validate()
    assert sorted(file.name for file in path.iterdir()) == ["index.json", "large", "small"]


def test_what_is_continued_stays_until_it_is_whole(tmp_path):
    path = tmp_path / "dftk_things" / "key"
    with pytest.raises(ZeroDivisionError), at(path).resumable_write() as folder:
        (folder / "small").write_text("half")
        raise ZeroDivisionError
    assert not at(path).validate()
    with at(path).resumable_write() as folder:
        assert (folder / "small").read_text() == "half"
        (folder / "large").write_text("rest")
        (folder / ".part-of-a-killed-one").touch()
    assert at(path).validate()
    assert list(path.parent.iterdir()) == [path]
    assert sorted(file.name for file in path.iterdir()) == ["index.json", "large", "small"]


def test_what_is_begun_survives_another_way_to_write_and_goes_when_all_is_there(tmp_path):
    path = tmp_path / "dftk_things" / "key"
    with pytest.raises(ZeroDivisionError), at(path).resumable_write() as folder:
        raise ZeroDivisionError
    write(path)
    assert folder.exists()
    at(path).remove_partial()
    assert list(path.parent.iterdir()) == [path]


def test_a_changed_byte_in_any_file_is_found_and_the_folder_removed(tmp_path, capfd):
    for name, number in (("small", 0), ("large", 1)):
        path = tmp_path / "dftk_things" / name
        write(path)
        (path / name).write_text(name.upper())
        assert not at(path).validate()
        assert not path.exists()
        assert f"checksum {number} of 2 differs; written again" in capfd.readouterr().err


def test_the_name_follows_maker_and_shards(dataset):
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
    with at(path).lock():
        other = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        line = next(line for line in other.stderr if "another process" in line)
        assert line.startswith(f"{path}: another process is writing it; waiting")
        time.sleep(0.2)
        assert other.poll() is None
    assert other.communicate()[0] == "in\n"


def test_what_cannot_be_written_is_named_with_the_remedy(tmp_path):
    (tmp_path / "dftk_things").write_text("in the way")
    with pytest.raises(UserError, match=MESSAGE):
        write(tmp_path / "dftk_things" / "key")
    with pytest.raises(UserError, match=MESSAGE), at(tmp_path / "dftk_things" / "key").lock():
        pass
