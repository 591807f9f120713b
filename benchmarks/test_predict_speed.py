"""Prediction from files against the bare model on the same images, decoded and batched before."""

import guards
import sides
from material import compare

pytest_plugins = ["drawn"]


def test_prediction_from_files_against_the_bare_model(benchmark, predictable):
    """Walking, reading, checking, decoding, batching and naming go on beside the forward pass.

    On a CPU they take cores from it, a millisecond an image at most; on a GPU only what waits.
    """
    ensemble, files = predictable
    ratio = compare(benchmark, *sides.predicting(ensemble, files), len(files), rounds=5)
    guards.predicting_keeps_up_with_the_model(ratio)
