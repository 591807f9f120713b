import pickle

import pytest

from tfds_rvf10k.download.kaggle_failures import DownloadFailed
from tfds_rvf10k.errors import BadSource, ConfigError, DatasetError, SourceNotFound
from tfds_rvf10k.shards.shard_writer import SourceChanged
from tfds_rvf10k.sources.archive import ArchiveError
from tfds_rvf10k.sources.source_images import Problem

ERRORS = [
    DatasetError("it is wrong", "change it", option="k", found=["1"], settings={"k": 2}),
    ConfigError("no name", "add one"),
    SourceNotFound("nothing there", "get it", option="real"),
    DownloadFailed("no network", "wait"),
    SourceChanged("changed", "build again"),
    ArchiveError("a.zip", "not a zip archive", "download it again"),
    BadSource("faces/", [Problem("a.jpg", "an empty file", "get it again")]),
]


def test_the_text_is_what_is_wrong_and_what_to_do():
    assert str(ERRORS[0]) == "it is wrong; change it"
    assert str(DatasetError("it is wrong")) == "it is wrong"
    assert str(ERRORS[5]) == "a.zip: not a zip archive; download it again"


def test_an_example_is_added_by_who_knows_it():
    error = DatasetError("it is wrong", "change it", settings={"k": 2})
    error.suggest("--k=2")
    assert str(error) == "it is wrong; change it, such as --k=2"


def test_problems_are_a_line_each():
    first, line, last = str(ERRORS[-1]).splitlines()
    assert first == "1 problem in faces/, nothing was built:"
    assert line == "  a.jpg: an empty file; get it again"
    assert last.startswith("Correct them. Or build the other images: give the config")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_a_process_boundary(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.what, again.settings, again.found) == (error.what, error.settings, error.found)


def test_beam_makes_another_one_with_a_longer_text_and_loses_no_remedy():
    error = ERRORS[4]
    assert str(type(error)(error.args[0] + " [while running]", *error.args[1:])) == (
        "changed; build again [while running]"
    )


def test_a_missing_source_is_a_missing_file_and_keeps_its_text():
    with pytest.raises(FileNotFoundError, match="^nothing there; get it$"):
        raise ERRORS[2]
