import os
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from images import encoded, picture
from PIL import Image

from dftk.datasets import catalog, image_tree
from dftk.input import residency
from dftk.utils.errors import UserError
from tfds_rvf10k import build
from tfds_rvf10k.sources.listing import find_source, list_images
from tfds_rvf10k.sources.source_images import Layout

NAMES = ("dftk_images/faces", "dftk_images/list")


def draw(root, kind="JPEG", size=(64, 48), first=0):
    suffix = {"JPEG": "jpg", "PNG": "png"}[kind]
    for label, name in enumerate(("real", "fake")):
        (root / name).mkdir(parents=True)
        for index in range(12):
            data = encoded(picture((label, first + index), size), kind)
            (root / name / f"{index}.{suffix}").write_bytes(data)
    return root


@pytest.fixture
def tree(tmp_path):
    return draw(tmp_path / "faces")


def opened(dataset, tmp_path, folds=2, **options):
    return catalog.open_dataset(str(dataset), str(tmp_path / "data"), folds, **options)


def builds(tmp_path):
    return sorted(path.name for path in (tmp_path / "data" / "dftk_images").iterdir())


def test_a_build_of_the_first_edition_is_found_again(tmp_path):
    # A build's name carries the digest of its folder's listing, notes included.
    # A reworded note would rebuild every folder that users built before.
    root = tmp_path / "faces"
    for split in ("train", "valid"):
        for name in ("real", "fake"):
            (root / split / name).mkdir(parents=True)
            for index in range(2):
                file = root / split / name / f"{index}.jpg"
                file.write_bytes(b"x" * (10 + index))
                os.utime(file, ns=(10**18, 10**18 + index))
    (root / "masks").mkdir()
    (root / "test").mkdir()
    layout = Layout()
    source = find_source(str(root), layout, "")
    listing = list_images(source, layout)
    assert image_tree._digest(source, listing, 5) == (
        "14c305139ed8d1314758b6910b2ddb8d9d9548236e42f8c5beb9d409b16be4de"
    )


def test_a_folder_is_built_once_and_again_when_it_changes(tree, tmp_path, capfd):
    first = opened(tree, tmp_path)
    assert first.name in NAMES
    assert first.folds == 2
    assert sum(shard.length for shard in first.train) == 24
    assert first.valid == ()
    out, err = capfd.readouterr()
    assert out == ""
    assert f"--dataset={tree}: building {first.name}-" in err

    assert opened(tree, tmp_path) == first
    assert opened(os.path.relpath(tree), tmp_path) == first
    version = Path(first.train[0].path).parent
    below = str(version.relative_to(tmp_path / "data"))
    assert opened(below, tmp_path) == first
    assert catalog.find_folder(below, str(tmp_path / "data")) == version
    assert "building" not in capfd.readouterr().err

    (tree / "real" / "new.jpg").write_bytes(encoded(picture((9, 9), (64, 48))))
    assert opened(tree, tmp_path).fingerprint() != first.fingerprint()
    assert opened(tree, tmp_path, folds=3).folds == 3
    assert len(builds(tmp_path)) == 3


def test_a_change_of_one_file_in_place_is_seen(tree, tmp_path):
    before = opened(tree, tmp_path)
    (tree / "fake" / "3.jpg").write_bytes(encoded(picture((9, 9), (64, 48))))
    after = opened(tree, tmp_path)
    assert after.fingerprint() != before.fingerprint()


def test_a_folder_that_moved_or_was_touched_is_the_same_data(tree, tmp_path):
    first = opened(tree, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moved = tree.rename(tmp_path / "elsewhere" / "faces")
    assert opened(moved, tmp_path) == first
    (moved / "real" / "0.jpg").touch()
    again = opened(moved, tmp_path)
    assert (again.name, again.fingerprint()) == (first.name, first.fingerprint())
    assert len(builds(tmp_path)) == 2
    shutil.rmtree(moved)
    with pytest.raises(UserError, match="no such dataset, .*; .* built of images") as error:
        opened(moved, tmp_path)  # none is taken by itself: another folder may have the same name
    named = str(error.value).rpartition(": ")[2].split(", ")
    assert [opened(folder, tmp_path).fingerprint() for folder in named] == 2 * [first.fingerprint()]


def test_a_zip_that_takes_anothers_place_is_built_anew(tree, tmp_path):
    fingerprints = set()
    for count in (1, 2):
        with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
            for path in sorted(tree.rglob("*.jpg"))[count:]:
                archive.write(path, path.relative_to(tree))
        found = opened(tmp_path / "faces.zip", tmp_path)
        assert sum(shard.length for shard in found.train) == 24 - count
        fingerprints.add(found.fingerprint())
    assert len(fingerprints) == 2


@pytest.mark.parametrize("kind", ["zip", "csv"])
def test_a_zip_and_a_table_are_taken_too(kind, tree, tmp_path):
    names = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.jpg"))
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
            for name in names:
                archive.write(tree / name, name)
        shutil.rmtree(tree)
        found = opened(tmp_path / "faces.zip", tmp_path)
    else:
        rows = [
            f"faces/{name},{name.split('/')[0]},{'valid' if '/1.' in name else 'train'}"
            for name in names
        ]
        (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *rows]))
        found = opened(tmp_path / "list.csv", tmp_path)
        assert sum(shard.length for shard in found.valid) == 2
    assert found.name in NAMES
    assert sum(shard.length for shard in found.train + found.valid) == 24


def test_png_pixels_are_the_files_pixels_in_every_residency(tmp_path):
    tree = draw(tmp_path / "faces", "PNG")
    train = opened(tree, tmp_path).train
    for kind in ("none", "ram", "disk"):
        examples = residency.open_examples(train, kind)
        for row in (0, 11, 23):
            expected = np.asarray(Image.open(tree / examples.filenames[row]))
            np.testing.assert_array_equal(examples.fetch([row])[0], expected)


def test_what_a_detector_might_learn_instead_is_noted(tree, tmp_path, capfd):
    for path in (tree / "fake").iterdir():
        path.with_suffix(".png").write_bytes(encoded(picture((2, int(path.stem)), (64, 48)), "PNG"))
        path.unlink()
    opened(tree, tmp_path)
    assert "note: 0% of real and 100% of fake are PNG files" in capfd.readouterr().err


def run_in_process(command):
    """Runs the command that a message shows."""
    python, flag, module, *options = shlex.split(command)
    assert (python, flag, module) == ("python", "-m", "tfds_rvf10k.build")
    assert build.main(options) == 0


def test_problems_come_line_by_line_with_a_way_on_that_works(tmp_path):
    tree = draw(tmp_path / "it's faces")
    (tree / "real" / "0.jpg").write_bytes(b"")
    (tree / "fake" / "1.jpg").write_bytes(b"text")
    with pytest.raises(UserError) as error:
        opened(tree, tmp_path)
    first, *lines = str(error.value).splitlines()
    assert first == f"--dataset={tree}: 2 problems, nothing was built:"
    assert lines[:2] == [
        "  fake/1.jpg: neither a JPEG nor a PNG by its contents; convert it, or remove it",
        "  real/0.jpg: an empty file; get it again",
    ]
    run_in_process(lines[-1])
    dataset = lines[-2].rpartition("--dataset=")[2].rstrip(":")
    assert sum(shard.length for shard in opened(dataset, tmp_path).train) == 22


def test_a_single_problem_is_one(tree, tmp_path):
    (tree / "real" / "0.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="1 problem, nothing was built"):
        opened(tree, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", r"no such dataset, file or directory; .* give a folder"),
        ("empty", r"no train/real .* \(there: no folders\)"),
        ("text.zip", r"text.zip: not a zip archive, or not all of one"),
        ("list.csv", r"no column 'path'"),
    ],
)
def test_what_is_no_dataset_says_what_would_be(name, message, tmp_path):
    (tmp_path / "empty").mkdir()
    for file in ("text.zip", "list.csv"):
        (tmp_path / file).write_text("words")
    dataset = tmp_path / name
    with pytest.raises(UserError, match=f"^--dataset={dataset}: .*{message}") as error:
        opened(dataset, tmp_path)
    assert "\n" not in str(error.value)


def test_images_of_different_sizes_are_told_how_to_train(tree, tmp_path):
    (tree / "real" / "large.jpg").write_bytes(encoded(picture(7, (128, 128))))
    line = r"real/large.jpg: 128x128 pixels, most have 64x48; remove it, or give --stored_size="
    with pytest.raises(UserError, match=line):
        opened(tree, tmp_path)
    train = opened(tree, tmp_path, any_size=True).train
    examples = residency.open_examples(train, "ram", size=32)
    assert examples.fetch([0, 1]).shape == (2, 32, 32, 3)
    with pytest.raises(UserError, match="pixels, the first image has .*; give --stored_size"):
        residency.open_examples(opened(tree, tmp_path).train, "ram")


def test_images_of_one_size_are_built_once_whether_they_may_differ_or_not(tree, tmp_path):
    assert opened(tree, tmp_path, any_size=True) == opened(tree, tmp_path)
    assert len(builds(tmp_path)) == 1


def test_a_table_that_names_missing_files_of_valid_counts(tmp_path):
    draw(tmp_path / "faces" / "train")
    draw(tmp_path / "faces" / "valid", first=100)
    tree = tmp_path / "faces"
    rows = [f"valid/{name}/{i}.jpg" for name in ("real", "fake") for i in range(12)]
    (tree / "valid.csv").write_text("\n".join(["path", *rows, "valid/fake/gone.jpg"]))
    assert opened(tree, tmp_path).shortfall("valid").startswith("valid has 24 of the 25")
    (tree / "valid.csv").write_text("\n".join(["path", *rows]))
    assert opened(tree, tmp_path).shortfall("valid") == ""


@pytest.mark.parametrize(
    ("labels", "real"),
    [(("0", "1"), "0"), (("REAL", "FAKE"), "REAL"), (("photo", "Fake"), "photo")],
)
def test_other_labels_than_real_and_fake_are_told_how_to_build(labels, real, tree, tmp_path):
    rows = [f"faces/{path.parent.name}/{path.name}" for path in tree.rglob("*.jpg")]
    table = ["path,label", *(f"{row},{labels['fake' in row]}" for row in rows)]
    (tmp_path / "list.csv").write_text("\n".join(table))
    with pytest.raises(
        UserError, match="^--dataset=.*: column 'label' has .*, such as python"
    ) as error:
        opened(tmp_path / "list.csv", tmp_path)
    assert f"takes {real!r} for real, which is your choice" in str(error.value)
    assert str(sorted(labels)) in str(error.value)
    assert sum(shard.length for shard in follow(error.value, tmp_path).train) == 24


def follow(error, tmp_path):
    """Runs the command in a message, and opens the dataset that the message names after it."""
    command, _, rest = str(error).partition("python -m")[2].partition(", and train with --dataset=")
    run_in_process(f"python -m{command}")
    return opened(rest.partition(";")[0], tmp_path)


def test_another_label_column_is_told_how_to_build(tree, tmp_path):
    rows = [f"faces/{path.parent.name}/{path.name}" for path in tree.rglob("*.jpg")]
    table = ["path,kind", *(f"{row},{row.split('/')[1]}" for row in rows)]
    (tmp_path / "list.csv").write_text("\n".join(table))
    with pytest.raises(UserError, match="no column 'label_str' or 'label' among") as error:
        opened(tmp_path / "list.csv", tmp_path)
    assert sum(shard.length for shard in follow(error.value, tmp_path).train) == 24


def test_classes_of_other_names_are_told_how_to_build(tree, tmp_path):
    (tree / "real").rename(tree / "a_photo")
    (tree / "fake").rename(tree / "gan")
    with pytest.raises(UserError, match="; or name your folders by python -m") as error:
        opened(tree, tmp_path)
    run_in_process(str(error.value).partition("name your folders by ")[2])
    assert sum(shard.length for shard in opened("rvf10k/own", tmp_path).train) == 24


def test_a_damaged_archive_in_a_folder_is_named(tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "faces.zip").write_text("words")
    with pytest.raises(UserError, match=r"faces/faces.zip: not a zip archive"):
        opened(tmp_path / "faces", tmp_path)


def test_two_datasets_are_told_to_be_given_by_this_command(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / "faces" / name)
    with pytest.raises(UserError, match="2 datasets in it: .*; give one of them as --dataset$"):
        opened(tmp_path / "faces", tmp_path)


@pytest.mark.parametrize("folds", [2, 5])
def test_a_small_train_with_a_large_valid_is_built(folds, tmp_path):
    """Of 20 images of train and 60 of valid, the number of shards comes from the 20."""
    for split, count in (("train", 10), ("valid", 30)):
        for label, name in enumerate(("real", "fake")):
            (tmp_path / "faces" / split / name).mkdir(parents=True)
            for index in range(count):
                data = encoded(picture((label, split == "valid", index), (64, 48)))
                (tmp_path / "faces" / split / name / f"{index}.jpg").write_bytes(data)
    found = opened(tmp_path / "faces", tmp_path, folds=folds)
    assert sum(shard.length for shard in found.train) == 20
    assert sum(shard.length for shard in found.valid) == 60
    assert {shard.fold for shard in found.train} == set(range(folds))


def test_copies_that_make_a_fold_small_are_built_with_fewer_shards(tmp_path, capfd):
    """Twelve copies and one other image of real: the second fold has 2 images of 16."""
    tree = tmp_path / "faces"
    for label, name in enumerate(("real", "fake")):
        (tree / name).mkdir(parents=True)
        for index in range(2):
            data = encoded(picture((label, index), (64, 48)))
            (tree / name / f"{index}.jpg").write_bytes(data)
    for index in range(12):
        (tree / "real" / f"copy{index}.jpg").write_bytes((tree / "real" / "0.jpg").read_bytes())
    found = opened(tree, tmp_path)
    assert sum(shard.length for shard in found.train) == 16
    assert sorted(len([s for s in found.train if s.fold == f]) for f in (0, 1)) == [2, 2]
    err = capfd.readouterr().err
    assert "a fold of 2 images does not fill 4 shards; building with 2 per fold" in err


def test_too_few_images_for_the_folds(tree, tmp_path):
    message = "12 distinct images of class 'real', 13 folds need 13; .* give a lower --folds$"
    with pytest.raises(UserError, match=message):
        opened(tree, tmp_path, folds=13)


def test_a_damaged_build_is_removed_to_be_built_again(tree, tmp_path):
    shard = Path(opened(tree, tmp_path).train[0].path)
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard}: missing; remove {shard.parent}, which is built"):
        opened(tree, tmp_path)
    shutil.rmtree(shard.parent)
    assert Path(opened(tree, tmp_path).train[0].path) == shard
    assert shard.is_file()


def test_a_data_dir_that_cannot_be_written_is_one_line(tree, tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match=f"^--data_dir=.*: cannot build {tree} there") as error:
        opened(tree, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_folder_trains_evaluates_and_resumes(kind, tmp_path, capfd):
    from dftk.evaluation import saved_folds
    from dftk.inference import model_choice, stream
    from dftk.launch import run
    from dftk.runs.saved_models import load_ensemble
    from dftk.runs.workdir import Workdir
    from dftk.training.config import resolve

    tree = draw(tmp_path / "faces", kind)
    config = resolve(
        {
            "dataset": str(tree), "data_dir": str(tmp_path / "data"), "folds": 2, "model": "cnn",
            "image_size": 32, "finetune_epochs": 1, "batch_size": 8,
        }
    )  # fmt: skip
    workdir = Workdir(tmp_path / "run")
    summary = run.train(config, [0, 1], workdir)
    assert summary["pooled"]["n"] == 24
    assert "Not a JPEG file" not in capfd.readouterr().err  # libjpeg's own words, of PNG files
    again = saved_folds.evaluate(workdir, "train", None)
    assert again["pooled"]["auc"] == summary["pooled"]["auc"]
    with pytest.raises(UserError, match="built without a split valid"):
        saved_folds.evaluate(workdir, "valid", None)
    assert run.train(config, [0, 1], workdir)["pooled"] == summary["pooled"]
    ensemble = load_ensemble(model_choice.model_files([str(workdir.path)]))
    (score,) = stream.score_files(ensemble, [next((tree / "real").iterdir())])
    assert 0 < score.probability < 1
    tree.rename(tmp_path / "moved")
    opened(draw(tmp_path / "other" / "faces", kind, first=50), tmp_path)  # newer, of the same name
    assert saved_folds.evaluate(workdir, "train", None) == again
    with pytest.raises(UserError, match="no such dataset, .*; .* built of .* that name: /"):
        run.train(config, [0, 1], workdir)
    (tmp_path / "moved").rename(tree)
    (Path(tree) / "real" / "new.jpg").write_bytes(encoded(picture((9, 9), (64, 48))))
    with pytest.raises(UserError, match="dataset"):
        run.train(config, [0, 1], workdir)
    assert saved_folds.evaluate(workdir, "train", None) == again


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
def test_a_damaged_description_of_a_build_is_named(tree, tmp_path, file):
    folder = Path(opened(tree, tmp_path).train[0].path).parent
    (folder / file).write_text("{")
    with pytest.raises(UserError, match="description cannot be read .*build it again") as raised:
        catalog.open_dataset(str(folder), str(tmp_path / "data"), 2)
    assert str(folder) in str(raised.value)


def test_a_damaged_build_of_a_folder_is_named(tree, tmp_path):
    folder = Path(opened(tree, tmp_path).train[0].path).parent
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match="description cannot be read") as raised:
        opened(tree, tmp_path)
    assert str(raised.value).startswith(str(folder.parent))


def test_an_empty_class_is_not_offered_to_be_built_without_it(tree, tmp_path):
    for file in (tree / "fake").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="fake: an empty folder") as raised:
        opened(tree, tmp_path)
    assert "quarantine" not in str(raised.value)
    assert str(raised.value).endswith("the other images are too few for the folds")


def test_a_name_that_is_nothing_and_a_file_that_is_no_archive(tree, tmp_path):
    with pytest.raises(UserError, match="smaple/: no such dataset, .*; give sample, rvf10k or"):
        opened("smaple/", tmp_path)
    with pytest.raises(UserError, match="neither a .zip nor a .csv file; give a folder"):
        opened(tree / "real" / "0.jpg", tmp_path)
