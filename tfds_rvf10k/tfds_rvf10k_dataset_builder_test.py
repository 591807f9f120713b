"""TFDS's own test case on a tree that code draws, and the contract of folds and labels."""

import collections
import json
import logging
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_rvf10k
from tfds_rvf10k import tfds_rvf10k_dataset_builder as builder_lib

PER_CLASS = 20


def draw_tree(root, train=PER_CLASS, valid=4, tables=True):
    """Draws Kaggle's layout below `root`; its CSV numbers classes 1 = real, 0 = fake."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("valid", valid)):
        rows = ['"",original_path,id,label,label_str,path']
        for number, name in ((1, "real"), (0, "fake")):
            folder = root / "rvf10k" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
                (folder / f"{index:05d}.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())
                path = f"{split}/{name}/{index:05d}.jpg"
                rows.append(f"{index},/kaggle/{index}.png,{index:05d},{number},{name},{path}")
        if tables:
            (root / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def build(manual_dir, data_dir, config="kfold5"):
    builder = builder_lib.Builder(data_dir=str(data_dir), config=config)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(manual_dir))
    )
    return builder


def examples(builder, split="train"):
    decoders = {"image": tfds.decode.SkipDecoding()}
    return list(builder.as_dataset(split, decoders=decoders).as_numpy_iterator())


def names(rows):
    return {row["filename"].decode() for row in rows}


class Rvf10kTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's checks: registration, info, tags, citations, build, read, no overlap of splits."""

    DATASET_CLASS = builder_lib.Builder
    SPLITS = {"train": 2 * PER_CLASS, "valid": 8}
    _tree = tempfile.TemporaryDirectory()  # drawn below: no picture is committed
    EXAMPLE_DIR = _tree.name

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        draw_tree(Path(cls.EXAMPLE_DIR))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._tree.cleanup()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return draw_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def built(tree, tmp_path_factory):
    return build(tree, tmp_path_factory.mktemp("built"))


def test_labels_are_0_real_1_fake_whatever_the_csv_numbers(built):
    assert built.info.features["label"].names == ["real", "fake"]
    for row in examples(built) + examples(built, "valid"):
        assert row["label"] == ("/fake/" in row["filename"].decode())


def test_image_bytes_equal_the_source_file(built, tree):
    for row in examples(built):
        assert row["image"] == (tree / "rvf10k" / row["filename"].decode()).read_bytes()


def test_fold_is_a_range_of_shards_and_stratified(built):
    assert built.info.splits["train"].num_shards == 20
    seen = collections.Counter()
    for fold in range(5):
        rows = examples(built, f"train[{4 * fold}shard:{4 * fold + 4}shard]")
        assert {row["fold"] for row in rows} == {fold}
        assert collections.Counter(row["label"] for row in rows) == {0: 4, 1: 4}
        seen.update(names(rows))
    assert len(seen) == 2 * PER_CLASS
    assert set(seen.values()) == {1}


def test_valid_has_fold_minus_one(built):
    assert {row["fold"] for row in examples(built, "valid")} == {-1}


def test_reading_a_fold_opens_only_its_files(built):
    files = built.info.splits["train[4shard:8shard]"].file_instructions
    assert [Path(file.filename).name[-14:-9] for file in files] == [f"{s:05d}" for s in range(4, 8)]


def test_metadata_records_the_layout(built):
    metadata = tfds.builder_from_directory(built.data_path).info.metadata
    assert metadata["k"] == 5
    assert metadata["seed"] == 42
    assert metadata["shards_per_fold"] == 4
    assert metadata["stratified"] is True
    assert metadata["fold_sizes"] == [[4, 4]] * 5
    assert metadata["valid_size"] == [4, 4]
    assert metadata["missing"] == {"train": 0, "valid": 0}


def test_two_builds_have_the_same_folds_in_the_same_order(built, tree, tmp_path):
    again = build(tree, tmp_path)
    assert [row["filename"] for row in examples(again)] == [
        row["filename"] for row in examples(built)
    ]


def test_loads_by_name_once_the_package_is_imported(built):
    assert tfds_rvf10k.Builder is builder_lib.Builder
    dataset = tfds.load("rvf10k", split="train", data_dir=str(Path(built.data_path).parents[2]))
    assert dataset.cardinality() == 2 * PER_CLASS


def test_custom_config_as_the_command_line_gives_it(tree, tmp_path):
    config = builder_lib.FoldConfig(**json.loads('{"name": "kfold10", "k": 10}'))
    builder = build(tree, tmp_path, config)
    assert builder.info.splits["train"].num_shards == 40
    assert builder.info.metadata["fold_sizes"] == [[2, 2]] * 10
    assert tfds.builder("rvf10k/kfold10", data_dir=str(tmp_path)).info.metadata["k"] == 10


def test_plain_kfold_is_the_notebooks(tree, tmp_path):
    from sklearn.model_selection import KFold

    config = builder_lib.FoldConfig(name="plain", stratified=False)
    builder = build(tree, tmp_path, config)
    everything = sorted(names(examples(builder)))
    _, held_out = next(KFold(5, shuffle=True, random_state=42).split(everything))
    assert names(examples(builder, "train[:4shard]")) == {everything[i] for i in held_out}
    assert builder.info.metadata["fold_sizes"] != [[4, 4]] * 5


@pytest.mark.parametrize("shape", ["parent", "itself", "one_more", "zip", "no_csv"])
def test_manual_dir_in_the_shapes_people_have(shape, tmp_path):
    top = draw_tree(tmp_path / "top", tables=shape != "no_csv")
    if shape == "itself":
        top = top / "rvf10k"
    elif shape == "one_more":
        (tmp_path / "more").mkdir()
        top.rename(tmp_path / "more" / "rvf10k")
        top = tmp_path / "more"
    elif shape == "zip":
        (tmp_path / "zipped").mkdir()
        with zipfile.ZipFile(tmp_path / "zipped" / "archive.zip", "w") as archive:
            for path in sorted(top.rglob("*")):
                archive.write(path, path.relative_to(top))
        top = tmp_path / "zipped"
    builder = build(top, tmp_path / "data")
    assert builder.info.splits["train"].num_examples == 2 * PER_CLASS
    assert builder.info.splits["valid"].num_examples == 8
    assert all(row["image"][:2] == b"\xff\xd8" for row in examples(builder))


def test_partial_tree_builds_what_is_there_and_says_what_is_not(tmp_path, caplog):
    top = draw_tree(tmp_path / "top")
    for index in range(3):
        (top / "rvf10k" / "valid" / "fake" / f"{index:05d}.jpg").unlink()
    with caplog.at_level(logging.WARNING, "absl"):
        builder = build(top, tmp_path / "data")
    assert "valid.csv names 3 files that are not there" in caplog.text
    assert "valid/fake/00000.jpg" in caplog.text
    assert builder.info.metadata["missing"] == {"train": 0, "valid": 3}
    assert len(examples(builder, "valid")) == 5


def test_tree_without_valid_has_no_such_split(tmp_path):
    top = draw_tree(tmp_path / "top", tables=False)
    shutil.rmtree(top / "rvf10k" / "valid")
    assert set(build(top, tmp_path / "data").info.splits) == {"train"}


def test_byte_identical_images_share_a_fold(tmp_path):
    top = draw_tree(tmp_path / "top", tables=False)
    folder = top / "rvf10k" / "train" / "fake"
    for copy in range(6):
        (folder / f"copy{copy}.jpg").write_bytes((folder / "00003.jpg").read_bytes())
    rows = examples(build(top, tmp_path / "data"))
    copies = [row for row in rows if b"copy" in row["filename"] or b"fake/00003" in row["filename"]]
    assert len(copies) == 7
    assert len({row["fold"] for row in copies}) == 1


def test_the_same_bytes_under_both_labels_are_refused(tmp_path):
    top = draw_tree(tmp_path / "top", tables=False) / "rvf10k" / "train"
    (top / "fake" / "00001.jpg").write_bytes((top / "real" / "00002.jpg").read_bytes())
    with pytest.raises(
        ValueError, match=r"labelled real and fake \(train/real/00002.jpg\); remove one"
    ):
        build(top.parents[1], tmp_path / "data")


def test_missing_tree_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="kaggle.com/datasets/sachchitkunichetty/rvf10k"):
        build(tmp_path, tmp_path / "data")


@pytest.mark.parametrize(
    ("config", "message"),
    [({"k": 1}, "k must be at least 2, got 1"), ({"shards_per_fold": 0}, "at least 1, got 0")],
)
def test_impossible_configs_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        builder_lib.FoldConfig(name="bad", **config)


def test_too_few_images_are_refused(tmp_path):
    draw_tree(tmp_path / "top", train=3)
    with pytest.raises(
        ValueError, match=r"3 distinct images of class 'real', 5 folds need 5; .*\"k\": 3"
    ):
        build(tmp_path / "top", tmp_path / "data")
    draw_tree(tmp_path / "more", train=6)
    with pytest.raises(
        ValueError, match=r"a fold of 2 images does not fill 4 .*, such as --config"
    ):
        build(tmp_path / "more", tmp_path / "data")


if __name__ == "__main__":
    tfds.testing.test_main()
