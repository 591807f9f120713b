"""Fixtures of all benchmarks, a plugin that each names in `pytest_plugins`: drawn data, and a rig.

No conftest.py: tests/ has one, and imports from it by that name.
"""

import functools

import pytest
from material import build_dataset, draw_tree, notebook_pipeline
from rig import Rig
from sides import consume

from dftk.datasets import catalog
from dftk.inference.stream import BATCH_SIZE
from dftk.input import residency
from dftk.runs.saved_models import Ensemble


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A tree of drawn JPEGs."""
    root = tmp_path_factory.mktemp("tree")
    draw_tree(root)
    return root


@pytest.fixture(scope="session")
def dataset_dir(tree, tmp_path_factory):
    """The directory of the dataset built from the tree."""
    return build_dataset(tree, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def dataset(dataset_dir):
    """Its catalog."""
    return catalog.open_dataset(dataset_dir, None, 5)


@pytest.fixture(scope="session")
def opened(dataset):
    """A function that gives the examples in a residency, stored at 224 pixels."""
    return functools.cache(lambda kind: residency.open_examples(dataset.train, kind, size=224))


@pytest.fixture(scope="session")
def notebook_epoch(tree):
    """An epoch of the notebook's pipeline on the same files."""
    files = sorted(map(str, tree.rglob("*.jpg")))
    batches = notebook_pipeline(files, [int("/fake/" in file) for file in files])
    return lambda: consume(batches)


@pytest.fixture(scope="session")
def rig(opened):
    """The training step."""
    return Rig(opened)


@pytest.fixture(scope="session")
def predictable(rig, tree):
    """A detector as it is saved, and files for eight of its batches."""
    return Ensemble([rig.detector.model]), sorted(tree.rglob("*.jpg"))[: 8 * BATCH_SIZE]
