"""Input: against decoding alone, against the notebook's way of reading, against a plain copy."""

import guards
import pytest
import sides
from material import IMAGES, compare

pytest_plugins = ["drawn"]


def test_cold_stream_against_decoding_alone(benchmark, dataset):
    """Reading, parsing and decoding beside decode_jpeg of the same bytes in memory."""
    ratio = compare(benchmark, *sides.cold_stream(dataset.train), sides.READINGS * IMAGES, rounds=7)
    guards.cold_keeps_up_with_decoding(ratio)


def test_first_load_against_decoding_alone(benchmark, dataset):
    """The same, kept in memory that is touched for the first time."""
    ratio = compare(benchmark, *sides.first_load(dataset.train), sides.READINGS * IMAGES, rounds=5)
    guards.loading_keeps_up_with_decoding(ratio)


@pytest.mark.parametrize("kind", guards.NOTEBOOK)
def test_epoch_against_the_notebook(benchmark, opened, notebook_epoch, kind):
    """What the host does in an epoch: gather rows, against read, decode, resize and augment.

    The device has the augmentation still to do, and from its own memory the gather too: what that
    costs is in the training step, see test_step_speed.py.
    """
    ratio = compare(benchmark, sides.epoch(opened(kind)), notebook_epoch, IMAGES, rounds=5)
    guards.epochs_beat_the_notebook(ratio, kind)


def test_epoch_from_memory_against_a_plain_copy(benchmark, opened):
    """Batches of shuffled rows, beside numpy.copyto of the same bytes in order."""
    ratio = compare(benchmark, *sides.memory(opened("ram")), sides.COPIES * IMAGES)
    guards.memory_nears_a_plain_copy(ratio)


def test_slow_input_under_a_slow_step(benchmark):
    """Input and consumer each wait 20 ms for every batch; together no longer than one of them."""
    guards.input_overlaps_with_the_step(compare(benchmark, *sides.waiting(), sides.STEPS, rounds=5))
