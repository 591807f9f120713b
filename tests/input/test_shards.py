import dataclasses
from pathlib import Path

import pytest
import tensorflow as tf

from dftk.input.shards import record_checksums
from dftk.utils.errors import UserError


def test_checksums_are_those_that_the_file_holds(dataset):
    shard = dataset.train[0]
    found = record_checksums(shard)
    assert len(found) == 4 * shard.length
    data = Path(shard.path).read_bytes()
    first = next(iter(tf.data.TFRecordDataset(shard.path))).numpy()
    assert data[12 : 12 + len(first)] == first
    assert found[:4] == data[12 + len(first) : 16 + len(first)]


def test_a_cut_file_is_one_line_with_the_remedy_of_its_dataset(dataset, tmp_path):
    path = tmp_path / "cut.tfrecord"
    path.write_bytes(Path(dataset.train[0].path).read_bytes()[:-100])
    shard = dataclasses.replace(dataset.train[0], path=str(path), remedy="fetch it again")
    with pytest.raises(UserError, match=r"cut\.tfrecord: cut or corrupt, .*; fetch it again$"):
        record_checksums(shard)
