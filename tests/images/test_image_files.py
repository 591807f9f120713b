import itertools
import os
from collections import Counter

import pytest

from dftk.images import image_files
from dftk.images.image_files import UnreadableImage
from dftk.utils.errors import UserError


def tree(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def found(*paths):
    return [
        item.path if isinstance(item, UnreadableImage) else item
        for item in image_files.find_images(paths)
    ]


def test_a_tree_comes_in_the_order_of_its_sorted_paths(tmp_path):
    names = [
        "b.jpg",
        "a/z.png",
        "a/b/c.GIF",
        "a.jpg",
        "c/1.JPEG",
        "c/10.bmp",
        "c/2.jpg",
        "a-b/x.jpg",
    ]
    tree(tmp_path, [*names, "notes.txt", "c/readme.md", "jpg"])
    assert found(tmp_path) == sorted(tmp_path / name for name in names)


def test_hidden_files_and_folders_are_passed_over_unless_named(tmp_path):
    tree(tmp_path, ["a.jpg", "._a.jpg", ".cache/b.jpg"])
    assert found(tmp_path) == [tmp_path / "a.jpg"]
    assert found(tmp_path / "._a.jpg") == [tmp_path / "._a.jpg"]


def test_links_are_followed_and_loops_end(tmp_path):
    tree(tmp_path, ["in/a.jpg", "elsewhere/b.jpg"])
    (tmp_path / "in" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "in" / "self").symlink_to(".", target_is_directory=True)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "gone.jpg").symlink_to(tmp_path / "nothing")
    folder = tmp_path / "in"
    # `up` leads to elsewhere, too; from there back into `in` it does not go on.
    assert found(folder) == [
        folder / "a.jpg",
        folder / "link" / "b.jpg",
        folder / "up" / "elsewhere" / "b.jpg",
    ]


def test_a_list_counts_what_is_passed_over_and_may_be_empty(tmp_path):
    tree(tmp_path, ["a.jpg", "b/c.PNG", "b/notes", "d.webp", "e.WEBP", ".hidden/f.webp", "._g.txt"])
    ignored = Counter()
    assert image_files.listed(tmp_path, ignored) == [tmp_path / "a.jpg", tmp_path / "b" / "c.PNG"]
    assert ignored == {".webp": 2, "no suffix": 1}
    (tmp_path / "empty").mkdir()
    assert image_files.listed(tmp_path / "empty") == []
    with pytest.raises(UserError, match="gone: No such file or directory; make it readable"):
        image_files.listed(tmp_path / "gone")


def test_what_is_no_file_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    tree(tmp_path, ["a.jpg"])
    assert found(tmp_path) == [tmp_path / "a.jpg"]


def test_a_directory_without_images_is_an_error(tmp_path):
    (item,) = image_files.find_images([tmp_path])
    assert "no .jpg, .jpeg, .png, .bmp, .gif file in it" in item.reason


def test_a_tree_is_not_read_further_than_it_is_consumed(tmp_path, monkeypatch):
    tree(tmp_path, [f"{folder:03}/{name}.jpg" for folder in range(50) for name in range(3)])
    scanned = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or real(path))
    first = list(itertools.islice(image_files.find_images([tmp_path]), 4))
    assert first[-1] == tmp_path / "001" / "0.jpg"
    assert len(scanned) == 3, "the top, 000 and 001"


def test_a_directory_that_goes_away_is_an_error_and_stops_nothing(tmp_path):
    tree(tmp_path, ["a/1.jpg", "b/1.jpg", "c/1.jpg"])
    items = image_files.find_images([tmp_path])
    assert next(items) == tmp_path / "a" / "1.jpg"
    (tmp_path / "b" / "1.jpg").unlink()
    (tmp_path / "b").rmdir()
    gone, last = items
    assert gone == UnreadableImage(tmp_path / "b", "No such file or directory")
    assert last == tmp_path / "c" / "1.jpg"
