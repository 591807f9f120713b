import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.config import UserError
from dftk.data import catalog, pipeline, residency


@pytest.fixture
def copy(dataset, tmp_path):
    """A copy of the sample to damage; returns a function that opens it."""
    folder = tmp_path / "dftk_sample" / "kfold5" / "1.0.0"
    shutil.copytree(Path(dataset.train[0].path).parent, folder)
    return lambda: catalog.open_dataset(str(folder), None, 5)


def rewrite(shard, change):
    """Writes a shard again with `change(index, example)` applied to each record."""
    records = [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset(shard.path).as_numpy_iterator()
    ]
    with tf.io.TFRecordWriter(shard.path) as writer:
        for index, example in enumerate(records):
            change(index, example.features.feature)
            writer.write(example.SerializeToString())


def test_every_row_is_its_own_source_image(examples, dataset):
    assert examples.images.shape == (400, 64, 64, 3)
    assert examples.images.dtype == tf.uint8
    assert len(set(examples.filenames)) == 400
    record = next(iter(tf.data.TFRecordDataset(dataset.train[5].path))).numpy()
    features = tf.train.Example.FromString(record).features.feature
    row = sum(shard.length for shard in dataset.train[:5])
    assert examples.filenames[row] == features["filename"].bytes_list.value[0].decode()
    jpeg = Image.open(io.BytesIO(features["image"].bytes_list.value[0]))
    np.testing.assert_array_equal(examples.images[row], jpeg)  # to the bit, another decoder


def test_rows_of_a_fold_are_a_range(examples):
    for fold in range(5):
        assert examples.rows([fold]).tolist() == list(range(80 * fold, 80 * fold + 80))
        assert examples.labels[examples.rows([fold])].mean() == 0.5


def test_a_load_decodes_each_jpeg_once(dataset, monkeypatch):
    calls = []
    real = pipeline.decode

    def counted(serialized):
        tf.py_function(lambda: calls.append(1), [], [])
        return real(serialized)

    monkeypatch.setattr(pipeline, "decode", counted)
    residency.load(dataset.train)
    assert len(calls) == 400


def test_limit_takes_from_every_shard_alike(dataset):
    limited = residency.limit(dataset.train, 110)
    assert sum(shard.length for shard in limited) == 110
    assert {shard.length for shard in limited} == {5, 6}
    assert residency.limit(dataset.train, None) == dataset.train
    assert residency.limit(dataset.train, 10**9) == dataset.train
    with pytest.raises(
        UserError, match="--max_examples=3: must be at least 20, one for each shard"
    ):
        residency.limit(dataset.train, 3)


def test_limited_load_reads_the_first_records_of_each_shard(dataset, examples):
    limited = residency.load(residency.limit(dataset.train, 100))
    assert len(limited.labels) == 100
    assert limited.filenames[:5].tolist() == examples.filenames[:5].tolist()
    assert limited.filenames[5] == examples.filenames[dataset.train[0].length]


def test_a_flipped_byte_names_the_shard(copy):
    shard = copy().train[2]
    data = bytearray(Path(shard.path).read_bytes())
    data[5000] ^= 0xFF
    Path(shard.path).write_bytes(data)
    with pytest.raises(UserError, match=f"{shard.path}: corrupt after"):
        residency.load(copy().train)


def test_a_shard_cut_at_a_record_boundary_is_counted(copy):
    opened = copy()
    shard = opened.train[7]
    records = list(tf.data.TFRecordDataset(shard.path).as_numpy_iterator())
    with tf.io.TFRecordWriter(shard.path) as writer:
        for record in records[:-1]:
            writer.write(record)
    message = f"{shard.path}: {len(records) - 1} records, its metadata says {len(records)}"
    with pytest.raises(UserError, match=message):
        residency.load(opened.train)


def test_bytes_that_are_no_jpeg_name_the_image(copy):
    names = []

    def spoil(index, features):
        if index == 3:
            names.append(features["filename"].bytes_list.value[0].decode())
            features["image"].bytes_list.value[0] = features["image"].bytes_list.value[0][:200]

    rewrite(copy().train[4], spoil)
    with pytest.raises(UserError, match=r"\S+.jpg: not a readable JPEG") as error:
        residency.load(copy().train)
    assert names[0] in str(error.value)


def test_an_image_of_another_size_is_named(copy):
    def shrink(index, features):
        if index == 1:
            jpeg = tf.io.encode_jpeg(np.zeros((32, 48, 3), np.uint8)).numpy()
            features["image"].bytes_list.value[0] = jpeg

    rewrite(copy().train[0], shrink)
    with pytest.raises(UserError, match=r"\.jpg: 48x32 pixels, the others 64x64"):
        residency.load(copy().train)


def test_a_set_larger_than_memory_is_refused_before_it_is_decoded(dataset, monkeypatch):
    monkeypatch.setattr(residency, "available_memory", lambda: 2_000_000)
    with pytest.raises(UserError, match=r"400 decoded images take 0.0 GB.*--max_examples=\d+"):
        residency.load(dataset.train)


def test_available_memory_is_a_number_of_this_machine():
    assert 10**8 < residency.available_memory() < 10**14


def test_an_empty_first_shard_is_named(copy):
    opened = copy()
    Path(opened.train[0].path).write_bytes(b"")
    with pytest.raises(UserError, match=f"{opened.train[0].path}: 0 records"):
        residency.load(opened.train)
