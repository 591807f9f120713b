"""Input: against decoding alone, against the notebook's way of reading, against a plain copy."""

import gates
import pytest
import workloads
from material import IMAGES, compare

pytest_plugins = ["shared_fixtures"]


def test_cold_stream_against_decoding_alone(benchmark, dataset):
    """Reading, parsing and decoding beside decode_jpeg of the same bytes in memory."""
    examples = workloads.READINGS * IMAGES
    compare(benchmark, *workloads.cold_stream(dataset.train), examples, gates.COLD_STREAM)


def test_first_load_against_decoding_alone(benchmark, dataset):
    """The same, kept in memory that is touched for the first time."""
    examples = workloads.LOADINGS * IMAGES
    compare(benchmark, *workloads.first_load(dataset.train), examples, gates.FIRST_LOAD)


@pytest.mark.parametrize("kind", gates.NOTEBOOK)
def test_epoch_against_the_notebook(benchmark, opened, notebook_epoch, kind):
    """The host gathers rows in an epoch of ours; the notebook reads, decodes, resizes, augments.

    The device then augments, and gathers where pixels lie in its own memory. The training step
    includes both, see test_step_speed.py.
    """
    gate = gates.notebook_epoch(kind)
    compare(benchmark, workloads.epoch(opened(kind)), notebook_epoch, IMAGES, gate)


def test_epoch_from_memory_against_a_plain_copy(benchmark, opened):
    """Batches of shuffled rows, beside numpy.copyto of the same bytes in order."""
    examples = workloads.COPIES * IMAGES
    compare(benchmark, *workloads.memory(opened("ram")), examples, gates.MEMORY, rounds=9)


def test_slow_input_under_a_slow_step(benchmark):
    """Input and consumer each wait 20 ms for every batch; together no longer than one of them."""
    compare(benchmark, *workloads.waiting(), workloads.STEPS, gates.OVERLAP)
