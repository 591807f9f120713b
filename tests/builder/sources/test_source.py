import os
import pickle
import zipfile

import pytest

from tfds_rvf10k.sources.source import Source, UnreadableFile
from tfds_rvf10k.sources.tree_walk import WalkedPath


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "a/b/2.jpg", "c.csv", ".hidden/x.jpg", "a/Thumbs.db"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "tree"


@pytest.fixture(params=["folder", "zip"])
def source(request, tree, tmp_path):
    if request.param == "folder":
        return Source(str(tree))
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                archive.write(path, "top/" + str(path.relative_to(tree)))
    return Source(str(tmp_path / "it.zip"), "").subfolder("top")


def test_a_folder_and_a_zip_look_the_same(source):
    source = pickle.loads(pickle.dumps(source))
    assert source.entries("") == (["a"], ["c.csv"])
    assert list(source.walk("a")) == [WalkedPath("a/1.jpg"), WalkedPath("a/b/2.jpg")]
    assert source.read("a/b/2.jpg", 100) == b"a/b/2.jpg"
    assert source.subfolder("a").read("1.jpg", 100) == b"a/1.jpg"
    assert source.subfolder("a").parent() == source
    assert source.is_folder("a/b")
    assert not source.is_folder("a/1.jpg")
    assert source.is_file("a/1.jpg")
    assert not source.is_file("nowhere/1.jpg")


def test_more_bytes_than_the_limit_are_not_read(source):
    with pytest.raises(UnreadableFile, match="more than"):
        source.read("a/1.jpg", 6)


def test_a_link_to_a_folder_around_the_walked_one_is_a_loop(tree):
    (tree / "a" / "b" / "up").symlink_to(tree / "a")
    (tree / "a" / "top").symlink_to(tree)
    found = {path.name: path.is_loop for path in Source(str(tree)).walk("a")}
    assert found == {"a/1.jpg": False, "a/b/2.jpg": False, "a/b/up": True, "a/top": True}


@pytest.mark.parametrize("kind", ["link", "pipe", "gone"])
def test_what_cannot_be_read_says_so(kind, tree):
    path = tree / "a" / "3.jpg"
    if kind == "link":
        path.symlink_to(tree / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(
        UnreadableFile, match="not a regular file" if kind == "pipe" else "is not there"
    ):
        Source(str(tree)).read("a/3.jpg", 100)


def test_an_archive_that_takes_anothers_place_is_read_anew(tmp_path):
    path = tmp_path / "a.zip"
    source = Source(str(path), "")
    for name in ("one.jpg", "two.jpg"):
        with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
            archive.writestr(name, name)
        os.replace(tmp_path / "new.zip", path)
        assert source.entries("") == ([], [name])
        assert source.read(name, 100) == name.encode()
    with pytest.raises(UnreadableFile, match="is not there"):
        source.read("one.jpg", 100)


def test_a_name_that_no_file_can_have_says_so(tree):
    with pytest.raises(UnreadableFile, match="cannot be read .*null byte.*; rename it"):
        Source(str(tree)).read("a/\0.jpg", 100)
