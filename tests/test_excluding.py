from pathlib import Path

import pytest
import tensorflow as tf

from tfds_rvf10k import excluding
from tfds_rvf10k.inspection import Inspection
from tfds_rvf10k.sources import Source


@pytest.mark.parametrize("perceptual", [False, True])
def test_valid_of_a_built_dataset_is_known_by_bytes_pixels_and_hash(dataset, perceptual):
    folder = str(Path(dataset.valid[0].path).parent)
    inspect = Inspection(Source("/"), scale=1, perceptual=perceptual)
    excluded = excluding.read(folder, "/nowhere", inspect)
    assert excluded.name == "valid of dftk_sample/kfold5/1.0.0"
    assert len(excluded.sha256) == len(excluded.pictures) == 100
    assert excluded.hashes.shape == (100 if perceptual else 0, 32)
    record = next(iter(tf.data.TFRecordDataset(dataset.valid[0].path))).numpy()
    jpeg = tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0]
    (known,) = inspect.digests([jpeg])
    assert known.sha256 in excluded.sha256
    assert known.picture in excluded.pictures


def test_no_such_dataset_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"without='rvf10k/nowhere': no.* in "):
        excluding.read("rvf10k/nowhere", str(tmp_path), Inspection(Source("/")))
    with pytest.raises(ValueError, match=r"without='rvf10k': not built in "):
        excluding.read("rvf10k", str(tmp_path), Inspection(Source("/")))
