"""Fixtures of all benchmarks: drawn images, the dataset built from them, and a training step.

A plugin that each test file names in `pytest_plugins`. It is no conftest.py, because tests/ has one
and imports from it by that name.
"""

import functools

import pytest
from material import build_dataset, draw_tree, notebook_pipeline
from rig import IMAGE_SIZE, Rig
from workloads import consume

from dftk.datasets import catalog
from dftk.inference.stream import BATCH_SIZE
from dftk.input import residency
from dftk.models import registry
from dftk.runs.saved_models import Ensemble
from dftk.training.config import resolve
from dftk.training.devices import devices


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
    """The dataset, opened."""
    return catalog.open_dataset(dataset_dir, None, 5)


@pytest.fixture(scope="session")
def opened(dataset):
    """A function from a residency to the examples in it, stored at 224 pixels."""
    return functools.cache(lambda kind: residency.open_examples(dataset.train, kind, size=224))


@pytest.fixture(scope="session")
def notebook_epoch(tree):
    """An epoch of the notebook's pipeline on the same files."""
    files = sorted(map(str, tree.rglob("*.jpg")))
    batches = notebook_pipeline(files, [int("/fake/" in file) for file in files])
    return lambda: consume(batches)


@pytest.fixture(scope="session")
def rig(opened):
    """A training step to time."""
    return Rig(opened)


@pytest.fixture(scope="session")
def predictable(tree):
    """A detector as it is saved, and files for three of its batches.

    Of Xception, or else on a CPU decoding would take longer than the forward pass.
    """
    config = resolve({"weights": "none", "image_size": IMAGE_SIZE, "mixed_precision": True})
    detector = registry.build(config, devices.choose(config).policy, False)
    return Ensemble([detector.model]), sorted(tree.rglob("*.jpg"))[: 3 * BATCH_SIZE]
