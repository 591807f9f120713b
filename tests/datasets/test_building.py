from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from dftk.datasets import building, image_tree
from dftk.utils.errors import UserError
from tfds_rvf10k import FoldConfig


def builder(data_dir):
    return image_tree.ImagesBuilder(data_dir=str(data_dir), config=FoldConfig(name="k2", k=2))


def test_it_is_described_by_its_own_words_and_not_by_rvf10ks(tmp_path):
    info = builder(tmp_path).info
    assert info.description == image_tree.ImagesBuilder.DESCRIPTION
    assert "kaggle" not in repr(info)
    assert isinstance(info.features["image"], tfds.features.Image)


def test_a_data_dir_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--data_dir=.*/file: cannot build it there \(") as error:
        building.prepare(builder(tmp_path / "file"), Path("/"), "it")
    assert "\n" not in str(error.value)


def test_a_fault_of_the_source_is_not_blamed_on_the_data_dir(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no train/real"):
        building.prepare(builder(tmp_path), tmp_path / "empty", "it")
