import hashlib
import pickle

import pytest
import tensorflow as tf

from tfds_rvf10k.shards.shard_writer import (
    Member,
    ShardPlan,
    ShardWriter,
    SourceChanged,
    size_and_sha256,
)
from tfds_rvf10k.sources.source import Source


@pytest.fixture
def plan(tmp_path):
    members = []
    for index in range(3):
        data = bytes([index]) * 100
        (tmp_path / f"{index} é.jpg").write_bytes(data)
        members.append(Member(f"{index} é.jpg", index % 2, hashlib.sha256(data).digest()))
    return ShardPlan(str(tmp_path / "shard"), 3, tuple(members))


@pytest.fixture
def write(tmp_path):
    return pickle.loads(pickle.dumps(ShardWriter(Source(str(tmp_path)), 1000)))


def test_a_shard_holds_its_members_in_order(plan, write):
    written = write(plan)
    records = list(tf.data.TFRecordDataset(plan.path).as_numpy_iterator())
    assert written.examples == len(records) == 3
    assert (written.bytes, written.sha256) == size_and_sha256(plan.path)
    for index, record in enumerate(records):
        features = tf.train.Example.FromString(record).features.feature
        assert features["image"].bytes_list.value[0] == bytes([index]) * 100
        assert features["label"].int64_list.value[0] == index % 2
        assert features["fold"].int64_list.value[0] == 3
        assert features["filename"].bytes_list.value[0].decode() == f"{index} é.jpg"


def test_the_same_members_give_the_same_bytes(plan, write):
    assert len({write(plan).sha256 for _ in range(10)}) == 1


def test_a_file_that_changed_meanwhile_stops_the_build(plan, write, tmp_path):
    (tmp_path / "1 é.jpg").write_bytes(b"other")
    with pytest.raises(SourceChanged, match="1 é.jpg: changed while"):
        write(plan)
    (tmp_path / "1 é.jpg").unlink()
    with pytest.raises(SourceChanged, match="1 é.jpg: is not there; get it"):
        write(plan)
    assert not (tmp_path / "shard").exists()
