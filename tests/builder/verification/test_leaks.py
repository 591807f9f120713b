"""Leaks planted in the shards, with a manifest that knows nothing of them."""

import shutil

import pytest
import tensorflow as tf
from images import encoded, picture
from small_dataset import at, build, faults, make_consistent, move, records, shard, write

from tfds_rvf10k.executors import Threads
from tfds_rvf10k.verification import leaks, verify


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train/real/bytes.jpg", "its bytes are those of"),
        ("train/fake/pixels.jpg", "its pixels are those of"),
    ],
)
def test_copies_in_two_folds_are_found_under_a_consistent_manifest(small, name, words):
    index, number = at(small, name)
    fold = (index // 2 + 1) % 3
    move(small, (index, number), 2 * fold, fold)
    lines = faults(small)
    assert len(lines) == 2  # the pictures themselves, and the table that the builder left
    assert name in lines[0]
    assert words in lines[0]
    assert f"(fold {fold}, " in lines[0]
    assert "(fold " + str(index // 2) in lines[0]
    assert "of groups.csv with" in lines[1]


def test_a_training_image_in_valid_under_another_name_and_label_is_found(small):
    stolen = tf.train.Example.FromString(records(shard(small, 0))[0])
    features = stolen.features.feature
    name = features["filename"].bytes_list.value[0].decode()
    label = features["label"].int64_list.value[0]
    features["filename"].bytes_list.value[0] = b"valid/real/new.jpg"
    features["label"].int64_list.value[0] = 1 - label
    features["fold"].int64_list.value[0] = -1
    target = shard(small, 0, "valid")
    write(target, [*records(target), stolen.SerializeToString(deterministic=True)])
    make_consistent(small)
    lines = faults(small)
    assert len(lines) == 1
    assert lines[0].startswith(
        f"{name} (fold 0, {('real', 'fake')[label]}): its bytes are those of"
    )
    assert f"valid/real/new.jpg (valid, {('fake', 'real')[label]})" in lines[0]


def test_near_duplicates_are_verified_where_the_config_asks_for_them(small_tree, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(small_tree, tree)
    brighter = [min(255, level + 3) for level in range(256)] * 3
    for name, index in (("train/real/near.jpg", 2), ("valid/real/near.jpg", 4)):
        (tree / name).write_bytes(encoded(picture(index).point(brighter)))
    folder = build(tree, tmp_path / "built", near_duplicates=40)
    report = verify(folder, Threads(2))
    assert report.faults == []
    assert report.groups == {"bytes": 1, "pixels": 1, "near": 2, "group": 0}
    (note,) = report.notes
    assert note.startswith("1 pair of near-duplicates across train and valid, kept (first: ")
    index, number = at(folder, "train/real/near.jpg")
    fold = (index // 2 + 1) % 3
    move(folder, (index, number), 2 * fold, fold)
    lines = faults(folder)
    assert len(lines) == 2
    assert f"train/real/near.jpg (fold {fold}, real)" in lines[0]
    assert "a near-duplicate of" in lines[0]
    assert "in group " in lines[1]


def stored(name, fold=0, picture=b"", **fields):
    split, label = ("valid" if fold < 0 else "train"), 0
    values = {"label": label, "split": split, "shard": "s", "index": 0, "sha256": name.encode()}
    return leaks.StoredImage(
        name, fold=fold, pixel_digest=picture or name.encode(), **{**values, **fields}
    )


def test_one_digest_at_an_eighth_is_a_suspicion_only():
    alike = [stored("a", 0, b"p", index=0), stored("b", 1, b"p", index=1)]
    apart = leaks.copies(alike, 8, lambda *_: {0: b"one", 1: b"other"})
    assert (apart.groups, apart.faults) == ({"bytes": 0, "pixels": 0}, [])
    same = leaks.copies(alike, 8, lambda *_: {0: b"one", 1: b"one"})
    assert same.faults == ["a (fold 0, real): its pixels are those of b (fold 1, real)"]
    assert leaks.copies(alike, 1, None).groups == {"bytes": 0, "pixels": 1}


def test_many_copies_are_one_line():
    alike = [stored(f"{i}", i % 3, b"p", sha256=b"s") for i in range(5)]
    found = leaks.copies(alike, 8, None)  # the same bytes need no second look
    assert found.groups == {"bytes": 1, "pixels": 0}
    (line,) = found.faults
    assert line == "0 (fold 0, real): its bytes are those of 1 (fold 1, real), 5 in all"


def test_groups_of_the_table_are_followed():
    images = [stored("a", 0), stored("b", 0), stored("c", 1), stored("v", -1)]

    def rows(*names):
        return [
            {"group": "0", "filename": n, "split": "valid" if n == "v" else "train", "why": "group"}
            for n in names
        ]

    kept = leaks.recorded(images, rows("a", "b", "v"), True)
    assert (kept.faults, kept.groups) == ([], {"group": 1})
    split = leaks.recorded(images, rows("b", "c"), True)
    assert split.faults == ["b (fold 0, real): in group 0 of groups.csv with c (fold 1, real)"]
    lost = rows("a", "x")
    assert (
        "x: groups.csv has it in train, no shard there"
        in leaks.recorded(images, lost, True).faults[0]
    )
    assert leaks.recorded(images, lost, False).faults == []  # a missing shard may have it


def test_a_png_and_a_jpeg_of_one_picture_are_compared(small_tree, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(small_tree, tree)
    jpeg = (tree / "train/real/06.jpg").read_bytes()
    pixels = tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE")
    (tree / "train/real/same.png").write_bytes(tf.io.encode_png(pixels).numpy())
    report = verify(build(tree, tmp_path / "built"), Threads(2))
    assert report.faults == []
    assert report.groups == {"bytes": 1, "pixels": 2, "group": 0}
