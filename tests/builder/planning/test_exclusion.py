import shutil
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_rvf10k
from dftk.datasets import sample
from tfds_rvf10k.inspection.inspection import Inspection
from tfds_rvf10k.planning import exclusion
from tfds_rvf10k.shards import shard_manifest
from tfds_rvf10k.sources.source import Source


@pytest.mark.parametrize("perceptual", [False, True])
def test_valid_of_a_built_dataset_is_known_by_bytes_pixels_and_hash(dataset, perceptual):
    folder = str(Path(dataset.valid[0].path).parent)
    inspect = Inspection(Source("/"), scale=1, perceptual=perceptual)
    excluded = exclusion.read_excluded(folder, "/nowhere", inspect)
    assert excluded.name == "valid of dftk_sample/kfold5/1.0.0"
    assert len(excluded.sha256) == len(excluded.pixel_digests) == 100
    assert excluded.perceptual_hashes.shape == (100 if perceptual else 0, 32)
    record = next(iter(tf.data.TFRecordDataset(dataset.valid[0].path))).numpy()
    jpeg = tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0]
    (known,) = inspect.digests([jpeg])
    assert known.sha256 in excluded.sha256
    assert known.pixel_digest in excluded.pixel_digests


def test_no_such_dataset_is_named(tmp_path):
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match=r"without='.*': its description cannot be read"):
        exclusion.read_excluded(str(tmp_path), str(tmp_path), Inspection(Source("/")))
    with pytest.raises(ValueError, match=r"without='rvf10k/nowhere': no.* in "):
        exclusion.read_excluded("rvf10k/nowhere", str(tmp_path), Inspection(Source("/")))
    with pytest.raises(ValueError, match=r"without='rvf10k': not built in "):
        exclusion.read_excluded("rvf10k", str(tmp_path), Inspection(Source("/")))


def test_a_built_dataset_does_without_them(dataset, tmp_path):
    """The sample's own tree again, three images of its `valid` among the training images."""
    sample.draw_tree(tmp_path / "tree")
    copies = {}
    for index in (0, 2, 4):
        name = f"train/real/copy{index}.jpg"
        shutil.copy(tmp_path / "tree/valid/real" / f"{index:05d}.jpg", tmp_path / "tree" / name)
        copies[name] = "in valid of dftk_sample/kfold5/1.0.0"
    shutil.rmtree(tmp_path / "tree/valid")
    without = str(Path(dataset.valid[0].path).parent)
    builder = tfds_rvf10k.Builder(
        data_dir=str(tmp_path), config=tfds_rvf10k.FoldConfig(name="more", without=without)
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(tmp_path / "tree"))
    )
    assert builder.info.splits["train"].num_examples == sample.TRAIN_IMAGES
    assert builder.info.metadata["left_out"] == 3
    left_out = shard_manifest.read_table(builder.data_path / shard_manifest.LEFT_OUT)
    assert {row["filename"]: row["why"] for row in left_out} == copies
