import json

import numpy as np
import pytest

from dftk.datasets import sample
from dftk.evaluation.checks import test_set_folders
from dftk.utils.errors import UsageError, UserError


def draw(folder, classes=("real", "fake")):
    for name in classes:
        (folder / name).mkdir(parents=True)
        jpeg = sample.draw_jpeg(np.random.default_rng(0), fake=name == "fake")
        (folder / name / "0.jpg").write_bytes(jpeg)
    return str(folder)


def test_sets_are_listed_by_name_before_there_is_a_workdir(tmp_path):
    paths = [draw(tmp_path / "a"), draw(tmp_path / "b", ["fake"])]
    sets = test_set_folders.open_folders(tmp_path / "no run", paths)
    assert {name: len(folder.files) for name, folder in sets.items()} == {"a": 2, "b": 1}
    assert list(test_set_folders.open_folders(tmp_path, paths, ["one", "two"])) == ["one", "two"]


def test_what_cannot_be_scored_is_one_line(tmp_path):
    good = draw(tmp_path / "good")
    (tmp_path / "file.zip").write_bytes(b"PK")
    (tmp_path / "empty" / "real").mkdir(parents=True)
    (tmp_path / "broken" / "real").mkdir(parents=True)
    for name in "ab":
        (tmp_path / "broken" / "real" / f"{name}.jpg").write_bytes(b"")
    for below, message in (
        ("gone", "no such directory; give one with real/ and fake/ in it"),
        ("file.zip", "not a directory; give one with real/ and fake/ in it"),
        ("empty", "no .jpg, .jpeg, .png, .bmp, .gif file in its real/ and fake/"),
        ("broken", "none of its 2 images can be read; the first, real/a.jpg: empty file"),
    ):
        with pytest.raises(UserError) as raised:
            test_set_folders.open_folders(tmp_path, [good, str(tmp_path / below)])
        assert str(raised.value) == f"test set {tmp_path / below}: {message}"


def test_two_sets_of_one_name_are_refused(tmp_path):
    a, b = draw(tmp_path / "a" / "set"), draw(tmp_path / "b" / "set")
    with pytest.raises(
        UsageError, match=f"{a} and {b}: both would be named set; give dftk.evaluate"
    ):
        test_set_folders.open_folders(tmp_path, [a, b])
    assert list(test_set_folders.open_folders(tmp_path, [a, b], ["set", "other"])) == [
        "set",
        "other",
    ]


@pytest.mark.parametrize(
    ("paths", "names"), [([], None), (["a", ""], None), (["a", "b"], ["one"]), (["a"], [])]
)
def test_a_missing_directory_or_name_is_a_usage_error(paths, names, tmp_path):
    with pytest.raises(UsageError, match="a directory or a name is missing"):
        test_set_folders.open_folders(tmp_path, paths, names)


def test_a_name_that_is_taken_by_another_folder_is_refused(tmp_path):
    test_set_folders.require_same_source(tmp_path, "new", tmp_path / "a")
    target = tmp_path / "tests" / "new"
    target.mkdir(parents=True)
    for content, former in (
        ({"source": str(tmp_path / "a")}, tmp_path / "a"),
        ({}, "an unknown folder"),
    ):
        (target / "metrics.json").write_text(json.dumps(content))
        message = f"test set .*/b: .* has the scores of {former}.*--name=OTHER"
        with pytest.raises(UsageError, match=message):
            test_set_folders.require_same_source(tmp_path, "new", tmp_path / "b")
    (target / "metrics.json").write_text(json.dumps({"source": str(tmp_path / "a")}))
    test_set_folders.require_same_source(tmp_path, "new", tmp_path / "a")


def test_a_set_is_named_after_its_folder_or_as_told(tmp_path):
    assert test_set_folders.name_of(tmp_path / "a" / ".." / "mine", None) == "mine"
    assert test_set_folders.name_of(tmp_path, "stylegan 3") == "stylegan 3"
    for bad in ("a/b", "..", ".hidden", ""):
        with pytest.raises(UsageError, match="--name="):
            test_set_folders.name_of(tmp_path, bad)
