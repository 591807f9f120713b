import os
import pickle
import zipfile

import pytest

from tfds_rvf10k.sources.source import Source, Unreadable


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
    return Source(str(tmp_path / "it.zip"), "").below("top")


def test_a_folder_and_a_zip_look_the_same(source):
    source = pickle.loads(pickle.dumps(source))
    assert source.entries("") == (["a"], ["c.csv"])
    assert list(source.walk("a")) == [("a/1.jpg", ""), ("a/b/2.jpg", "")]
    assert source.read("a/b/2.jpg", 100) == b"a/b/2.jpg"
    assert source.below("a").read("1.jpg", 100) == b"a/1.jpg"
    assert source.below("a").above() == source
    assert source.is_folder("a/b")
    assert not source.is_folder("a/1.jpg")
    assert source.is_file("a/1.jpg")
    assert not source.is_file("nowhere/1.jpg")


def test_more_bytes_than_the_limit_are_not_read(source):
    with pytest.raises(Unreadable, match="more than"):
        source.read("a/1.jpg", 6)


def test_a_link_back_is_named_and_not_followed(tree):
    (tree / "a" / "b" / "up").symlink_to(tree / "a")
    (tree / "a" / "top").symlink_to(tree)
    found = dict(Source(str(tree)).walk("a"))
    assert "lies in; remove the link" in found.pop("a/b/up")
    assert "lies in; remove the link" in found.pop("a/top")
    assert set(found) == {"a/1.jpg", "a/b/2.jpg"}


@pytest.mark.parametrize("kind", ["link", "pipe", "gone"])
def test_what_cannot_be_read_says_so(kind, tree):
    path = tree / "a" / "3.jpg"
    if kind == "link":
        path.symlink_to(tree / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(
        Unreadable, match="not a regular file" if kind == "pipe" else "is not there"
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
    with pytest.raises(Unreadable, match="is not there"):
        source.read("one.jpg", 100)
