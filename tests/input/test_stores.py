import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.input import pipeline, stores
from dftk.input.pipeline import ImageRecords

SHAPE = (64, 64, 3)


@pytest.mark.parametrize("word_bytes", [1, 8, 64])
def test_memory_is_handed_over_without_a_copy(dataset, word_bytes):
    memory = stores.MemoryStore(ImageRecords(dataset.train, SHAPE), word_bytes=word_bytes)
    before = memory.fetch(tf.constant([7])).numpy()
    assert memory.pixels.shape[1] % word_bytes == 0
    memory.pixels[7, :3] ^= 255
    after = memory.fetch(tf.constant([7])).numpy()
    assert (before != after).sum() == 3


def test_records_are_found_again_at_their_place(dataset):
    found = stores.RecordStore(ImageRecords(dataset.train, SHAPE))
    everything = {}
    for start, records in pipeline.chunks(dataset.train, 16):
        everything.update(enumerate(records.numpy(), int(start)))
    rows = np.random.default_rng(0).permutation(400)
    assert found._read(rows).tolist() == [everything[row] for row in rows]


def test_pixels_are_another_decoders_to_the_bit(dataset, examples):
    record = next(iter(tf.data.TFRecordDataset(dataset.train[5].path))).numpy()
    features = tf.train.Example.FromString(record).features.feature
    row = sum(shard.length for shard in dataset.train[:5])
    assert examples.filenames[row] == features["filename"].bytes_list.value[0].decode()
    jpeg = Image.open(io.BytesIO(features["image"].bytes_list.value[0]))
    np.testing.assert_array_equal(examples.fetch([row])[0], jpeg)


def test_allocated_memory_can_be_shared_with_tensorflow():
    for rows, size in ((3, 64 * 64 * 3), (5, 7)):
        memory = stores.allocate(rows, size)
        assert memory.shape == (rows, size)
        assert memory.ctypes.data % 64 == 0
