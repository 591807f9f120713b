"""Prediction from files against the bare model on the same images, decoded and batched before."""

import gates
import workloads
from material import compare

pytest_plugins = ["shared_fixtures"]


def test_prediction_from_files_against_the_bare_model(benchmark, predictable):
    """Files are walked, read, checked, decoded, batched and named beside the forward pass.

    On a CPU that takes cores from it, at most a millisecond an image; on a GPU it takes nothing
    unless the forward pass waits.
    """
    ensemble, files = predictable
    works = workloads.predicting(ensemble, files)
    compare(benchmark, *works, len(files), gates.PREDICTION, rounds=5)
