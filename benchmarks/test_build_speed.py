"""Building the dataset against copying its files."""

import itertools
import shutil
import tempfile
from pathlib import Path

import guards
from material import IMAGES, build_dataset, compare

pytest_plugins = ["drawn"]


def test_build_against_a_plain_copy(benchmark, tree):
    """Files to shuffled TFRecords by fold, JPEGs as they are; beside files to files."""
    number = itertools.count()
    with tempfile.TemporaryDirectory() as scratch:

        def fresh():
            return Path(scratch, str(next(number)))

        ratio = compare(
            benchmark,
            lambda: build_dataset(tree, fresh()),
            lambda: shutil.copytree(tree, fresh()),
            IMAGES,
            rounds=5,
        )
    guards.build_nears_a_plain_copy(ratio)
