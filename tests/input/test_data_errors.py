"""Damaged data sets, in every residency: one line that names the shard or the image."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from shard_files import cut_last_record, rewrite

from dftk.images import encoded
from dftk.input import data_errors, residency
from dftk.input.shards import DataError
from dftk.utils.errors import UserError

KINDS = ("ram", "device", "disk", "none")


@pytest.fixture(params=KINDS)
def read(request):
    """Reads every pixel of a split once, in one of the residencies."""

    def read_all(shards):
        examples = residency.open_examples(shards, request.param)
        with examples.translate_data_errors():
            for _ in examples.batches(np.arange(len(examples.labels)), batch_size=32, images=True):
                pass

    return read_all


def test_a_flipped_byte_names_the_shard(copy, read):
    shard = copy().train[2]
    data = bytearray(Path(shard.path).read_bytes())
    data[5000] ^= 0xFF
    Path(shard.path).write_bytes(data)
    with pytest.raises(UserError, match=f"{shard.path}: corrupt after"):
        read(copy().train)


def test_a_shard_cut_at_a_record_boundary_is_counted(copy, read):
    opened = copy()
    with pytest.raises(UserError, match=cut_last_record(opened.train[7])):
        read(opened.train)


def test_bytes_that_are_no_jpeg_name_the_image(copy, read):
    names = []

    def spoil(index, features):
        if index == 3:
            names.append(features["filename"].bytes_list.value[0].decode())
            features["image"].bytes_list.value[0] = features["image"].bytes_list.value[0][:200]

    rewrite(copy().train[4], spoil)
    words = r"\S+.jpg: not a readable JPEG, PNG, GIF or BMP image; remove it, then remove /"
    with pytest.raises(UserError, match=words) as error:
        read(copy().train)
    assert names[0] in str(error.value)


def test_an_image_of_another_size_is_named(copy, read):
    def shrink(index, features):
        if index == 1:
            jpeg = tf.io.encode_jpeg(np.zeros((32, 48, 3), np.uint8)).numpy()
            features["image"].bytes_list.value[0] = jpeg

    rewrite(copy().train[0], shrink)
    with pytest.raises(
        UserError,
        match=r"\.jpg: 48x32 pixels, the first image has 64x64; give --stored_size .*, or remove",
    ):
        read(copy().train)


def remove(name):
    return lambda features: features.pop(name)


def without_kind(features):
    features["filename"].ClearField("bytes_list")


def text_label(features):
    features["label"].bytes_list.value[:] = [b"fake"]


def two_folds(features):
    features["fold"].int64_list.value[:] = [1, 2]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (remove("filename"), "no feature 'filename'; its features are: fold, image, label"),
        (remove("label"), "no feature 'label'; its features are: filename, fold, image"),
        (remove("fold"), "no feature 'fold'; its features are: filename, image, label"),
        (remove("image"), "no feature 'image'; its features are: filename, fold, label"),
        (without_kind, "no feature 'filename'; its features are: filename, fold, image, label"),
        (text_label, "a feature 'label' that is not one integer"),
        (two_folds, "a feature 'fold' that is not one integer"),
    ],
    ids=["filename", "label", "fold", "image", "no kind", "text", "two"],
)
def test_a_record_without_a_feature_is_one_line(copy, change, what):
    """The record's number, the features that are there, and the remedy; for every reader."""
    shard = copy().train[0]
    rewrite(shard, lambda index, features: change(features) if index == 2 else None)
    expected = f"{shard.path}: record 3 of 20 has {what}; {shard.remedy}"
    readers = [lambda kind=kind: residency.open_examples([shard], kind) for kind in KINDS]
    for read in [*readers, lambda: list(encoded.from_shards([shard]))]:
        with pytest.raises(DataError) as error:
            read()
        assert str(error.value) == expected


def test_a_first_record_without_a_feature_is_one_line(copy):
    shard = copy().train[0]
    rewrite(shard, lambda index, features: features.pop("image") if index == 0 else None)
    with pytest.raises(DataError, match="record 1 of 20 has no feature 'image'"):
        residency.open_examples([shard], "ram")


def test_a_record_that_is_no_example_is_one_line(copy):
    shard = copy().train[0]
    with tf.io.TFRecordWriter(shard.path) as writer:
        for _ in range(shard.length):
            writer.write(b"no proto")
    with pytest.raises(DataError, match="record 1 of 20 is not a tf.train.Example; "):
        residency.open_examples([shard], "ram", size=32)


def test_an_error_has_fields_and_survives_pickling(copy):
    shard = copy().train[0]
    rewrite(shard, lambda _, features: features["image"].bytes_list.value.__setitem__(0, b"?"))
    error = pickle.loads(pickle.dumps(data_errors.diagnose([shard], None)))
    assert isinstance(error, UserError)
    assert error.path == shard.path
    assert error.filename.endswith(".jpg")
    assert error.what == "not a readable JPEG, PNG, GIF or BMP image"
    assert error.remedy == f"remove it, then {shard.remedy}"
    assert str(error) == f"{error.filename}: {error.what}; {error.remedy}"


def test_an_empty_first_shard_is_named(copy, read):
    opened = copy()
    Path(opened.train[0].path).write_bytes(b"")
    with pytest.raises(UserError, match=f"{opened.train[0].path}: 0 records"):
        read(opened.train)


def test_a_fault_that_is_not_the_datas_passes(dataset):
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="somewhere else"),
        data_errors.translate_data_errors(dataset.train, (64, 64)),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "somewhere else")
    assert data_errors.diagnose(dataset.train, (64, 64)) is None
