import os
import zipfile

import pytest
from listings import SPLIT, listed, make

from tfds_rvf10k.sources import source_images
from tfds_rvf10k.sources.listing import find_source
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import Layout


@pytest.mark.parametrize("above", ["", "rvf10k/", "a/b/", "archive/real_vs_fake/real-vs-fake/"])
@pytest.mark.parametrize("packed", [False, True])
def test_finds_the_tree_at_the_depths_people_have(above, packed, tmp_path):
    top = make(tmp_path / "top", *(above + name for name in SPLIT))
    if packed:
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for path in top.rglob("*.jpg"):
                archive.write(path, path.relative_to(top))
        for given in (tmp_path / "data.zip", tmp_path):
            found = find_source(str(given), Layout(), "")
            assert found == (
                Source(str(tmp_path / "data.zip"), above.rstrip("/"))
                if given.suffix
                else Source(str(top / above).rstrip("/"))
                if above.count("/") < 3
                else Source(str(tmp_path / "data.zip"), above.rstrip("/"))
            )
    assert find_source(str(top), Layout(), "") == Source(str(top / above).rstrip("/"))


def test_two_trees_are_not_guessed_between(tmp_path):
    make(tmp_path, *("a/" + name for name in SPLIT), *("b/" + name for name in SPLIT))
    with pytest.raises(ValueError, match="2 datasets in it: .*/a, .*/b; give one"):
        find_source(str(tmp_path), Layout(), "")


def test_what_a_split_lacks_does_not_make_another_split_the_dataset(tmp_path):
    """valid, taken for a dataset of its own, would be trained on."""
    make(tmp_path / "rvf10k", "train/real/1.jpg", "valid/real/3.jpg", "valid/fake/4.jpg")
    source = find_source(str(tmp_path), Layout(), "")
    assert source == Source(str(tmp_path / "rvf10k"))
    (problem,) = listed(source.path).problems
    assert str(problem).startswith("train/fake: no such folder")
    with pytest.raises(FileNotFoundError, match="a folder of one split; give the one above"):
        find_source(str(tmp_path / "rvf10k" / "valid"), Layout(), "")


def test_two_zips_are_not_guessed_between(tmp_path):
    for name in ("a", "b"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for file in SPLIT:
                archive.writestr(file, b"x")
    with pytest.raises(ValueError, match="2 datasets in it: .*a.zip, .*b.zip; give one"):
        find_source(str(tmp_path), Layout(), "")
    assert find_source(str(tmp_path / "b.zip"), Layout(), "").path.endswith("b.zip")


@pytest.mark.parametrize("name", ["nowhere", "file.txt"])
def test_what_is_no_folder_says_so(name, tmp_path):
    (tmp_path / "file.txt").write_text("words")
    with pytest.raises((FileNotFoundError, ValueError), match="no such file|not a zip archive"):
        find_source(str(tmp_path / name), Layout(), "")


def test_no_tree_says_what_is_there_and_how_to_get_one(tmp_path):
    make(tmp_path, "train/Real/1.jpg", "train/Fake/1.jpg")
    with pytest.raises(
        FileNotFoundError, match=r"no train/real .*\(there: train/\).* ask a friend"
    ):
        find_source(str(tmp_path), Layout(), "ask a friend")


def test_flat_classes_are_all_train(tmp_path):
    make(tmp_path, "real/a/1.jpg", "fake/2.PNG", "masks/3.jpg")
    found = listed(tmp_path)
    assert [(i.filename, i.split, i.label) for i in found.images] == [
        ("fake/2.PNG", "train", 1),
        ("real/a/1.jpg", "train", 0),
    ]
    assert found.problems == []
    assert found.notes == ["masks/ is left alone: it is no split and no class"]


def test_other_names_for_classes_and_valid(tmp_path):
    make(
        tmp_path, "train/0_photo/1.jpg", "train/1_gan/2.jpg", "val/0_photo/3.jpg",
        "val/1_gan/4.jpg", "test/0_photo/5.jpg",
    )  # fmt: skip
    found = listed(tmp_path, Layout(("0_photo", "1_gan")))
    assert [(i.split, i.label) for i in found.images] == [
        ("train", 0), ("train", 1), ("valid", 0), ("valid", 1),
    ]  # fmt: skip
    assert found.notes == ["test/ is left alone: no training run may see it"]


def test_a_link_to_itself_blinds_nothing(tmp_path):
    make(tmp_path, *SPLIT)
    (tmp_path / "train/real/loop.jpg").symlink_to("loop.jpg")
    found = listed(tmp_path)
    assert len(found.images) == 5  # reading it will say what it is
    assert found.problems == []


def test_every_fault_of_a_layout_is_listed(tmp_path):
    make(
        tmp_path, *SPLIT, "train/fakes/5.jpg", "train/6.jpg",
        "train/real/notes.txt", "train/real/7.webp",
        "validation/real/8.jpg", "train/fake/.DS_Store", "train/fake/Thumbs.db",
    )  # fmt: skip
    (tmp_path / "valid" / "fake" / "4.jpg").unlink()
    found = listed(tmp_path)
    assert {p.filename: p.what for p in found.problems} == {
        "train/fakes": "neither real nor fake",
        "train/6.jpg": "in no class folder",
        "train/real/notes.txt": "its name ends in none of .jpg .jpeg .png",
        "train/real/7.webp": "its name ends in none of .jpg .jpeg .png",
        "validation": "valid is there too",
        "valid/fake": "an empty folder",
    }
    assert all(p.remedy for p in found.problems)


def test_odd_names_are_images_and_stay_on_one_line(tmp_path):
    odd = "train/real/zwei\nZeilen é 顔.jpg"
    make(tmp_path, *SPLIT, odd)
    assert odd in {image.filename for image in listed(tmp_path).images}
    text = str(source_images.Problem(odd, "cut", "get it again"))
    assert text == "train/real/zwei\\nZeilen é 顔.jpg: cut; get it again"


def test_a_name_that_is_not_utf8_is_a_problem(tmp_path):
    make(tmp_path, *SPLIT)
    with open(bytes(tmp_path) + b"/train/real/\xff.jpg", "wb") as file:
        file.write(b"x")
    os.mkdir(bytes(tmp_path) + b"/train/caf\xe9")
    for problem in listed(tmp_path).problems:
        assert problem.what.startswith(("its name is not UTF-8", "neither real nor fake"))
        assert str(problem).encode()
        assert "\\x" in problem.filename or "\\udc" in problem.filename
