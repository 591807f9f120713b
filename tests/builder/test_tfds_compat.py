"""The undocumented parts of TFDS. A failure names the one that an upgrade changed."""

import inspect

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.scripts.cli import build as command_line

import tfds_rvf10k
from tfds_rvf10k import tfds_compat
from tfds_rvf10k.errors import DatasetError


def builder(tmp_path):
    return tfds_rvf10k.Builder(data_dir=str(tmp_path))


def test_tfds_still_has_the_base_class_and_the_public_way_to_it():
    assert tfds.core.GeneratorBasedBuilder.__bases__[0] is tfds_compat.FileReaderBuilder
    assert issubclass(tfds_compat.FileReaderBuilder, tfds.core.DatasetBuilder)


def test_tfds_still_calls_the_methods_that_the_builder_overrides():
    parameters = inspect.signature(tfds.core.DatasetBuilder._download_and_prepare).parameters
    assert {"dl_manager", "download_config"} <= parameters.keys()
    assert callable(tfds.core.DatasetBuilder._info)


def test_tfds_still_names_shards_as_the_builder_does(tmp_path):
    made = builder(tmp_path)
    assert made._filename_template("train") == made._get_filename_template("train")


def test_a_builder_can_write_elsewhere_for_a_while(tmp_path):
    made = builder(tmp_path)
    before = made.data_dir
    with tfds_compat.writing_to(made, tmp_path / "other"):
        assert made.data_dir == str(tmp_path / "other")
        assert str(made.data_path) == str(tmp_path / "other")
    assert made.data_dir == before


def test_a_tfds_that_stores_the_folder_elsewhere_stops_before_anything_is_written(tmp_path):
    class Other:
        data_dir = "/data/rvf10k"

    with (
        pytest.raises(DatasetError, match="remove /data/rvf10k and build without --overwrite"),
        tfds_compat.writing_to(Other(), tmp_path),
    ):
        pass


def test_the_command_line_still_has_the_variables_that_are_read():
    parameters = inspect.signature(command_line._make_builder).parameters
    assert {"overwrite", "fail_if_exists"} <= parameters.keys()
    assert command_line._make_builder.__module__.startswith(tfds_compat._COMMAND_LINE)
    assert "builder.is_prepared()" in inspect.getsource(command_line._make_builder)


def asked_by(module, **variables):
    """The answer to a caller in a module whose function has these variables."""
    space = {"__name__": module, "ask": tfds_compat.is_overwriting_build}
    code = f"def caller({', '.join(variables)}):\n    return ask()"
    exec(code, space)
    return space["caller"](**variables)


def test_only_an_overwriting_command_line_is_told_that_there_is_nothing():
    module = "tensorflow_datasets.scripts.cli.build"
    assert asked_by(module, overwrite=True, fail_if_exists=False)
    assert not asked_by(module, overwrite=False, fail_if_exists=False)
    assert not asked_by(module, overwrite=True, fail_if_exists=True)
    assert not asked_by("my.program", overwrite=True, fail_if_exists=False)
    # The variables are unknown: a dataset that is not deleted is the safe answer.
    assert asked_by("tensorflow_datasets.scripts.cli.newer", replace=True)
