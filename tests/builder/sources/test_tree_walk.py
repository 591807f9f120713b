import os

import pytest

from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.tree_walk import WalkedPath, is_system_name


@pytest.mark.parametrize(
    "name",
    [
        ".hidden", "._a.jpg", ".DS_Store", "Thumbs.db", "thumbs.DB", "desktop.ini", "__MACOSX",
        "@eaDir", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN", "System Volume Information",
    ],
)  # fmt: skip
def test_names_of_systems_are_known(name):
    assert is_system_name(name)


@pytest.mark.parametrize("name", ["a.jpg", "real", "@home", "#1.jpg", "thumbs.jpg", "recycle"])
def test_names_of_people_are_not_among_them(name):
    assert not is_system_name(name)


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_thumbnails_and_recycled_files_of_network_storage_are_passed_over(tmp_path):
    make(tmp_path, "real/0.jpg", "real/@eaDir/0.jpg/SYNOPHOTO_THUMB_SM.jpg", "fake/#recycle/9.jpg")
    assert list(Source(str(tmp_path)).walk("")) == [WalkedPath("real/0.jpg")]


def test_files_come_in_the_order_of_their_names(tmp_path):
    names = ["a-b/x", "a/z", "a/b/c", "a.jpg", "b", "c/1", "c/10", "c/2"]
    make(tmp_path, *names)
    found = [path.name for path in Source(str(tmp_path)).walk("")]
    assert found == sorted(names, key=lambda name: name.split("/"))


def test_what_is_no_regular_file_is_marked(tmp_path):
    make(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "link").symlink_to("a")
    found = {path.name: path.is_regular for path in Source(str(tmp_path)).walk("")}
    assert found == {"a": True, "gone": False, "itself": False, "link": True, "pipe": False}


def test_a_loop_ends_and_another_link_is_followed(tmp_path):
    make(tmp_path, "in/a", "elsewhere/b")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    found = list(Source(str(tmp_path / "in")).walk(""))
    assert found == [
        WalkedPath("a"),
        WalkedPath("link/b"),
        WalkedPath("up/elsewhere/b"),
        WalkedPath("up/in", is_loop=True),
    ]


def test_a_folder_that_cannot_be_listed_is_an_error_and_stops_nothing(tmp_path):
    make(tmp_path, "a/1", "b/1", "c/1")
    walk = Source(str(tmp_path)).walk("")
    assert next(walk).name == "a/1"
    (tmp_path / "b" / "1").unlink()
    (tmp_path / "b").rmdir()
    gone, last = walk
    assert gone.name == "b"
    assert isinstance(gone.error, FileNotFoundError)
    assert last == WalkedPath("c/1")


def test_a_tree_is_read_no_further_than_it_is_consumed(tmp_path, monkeypatch):
    make(tmp_path, *(f"{folder:02}/{name}" for folder in range(20) for name in range(3)))
    scanned = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or real(path))
    walk = Source(str(tmp_path)).walk("")
    for _ in range(4):
        last = next(walk)
    assert last.name == "01/0"
    assert len(scanned) == 3  # the top, 00 and 01
