"""What is counted, not timed: decodes, traces, and the dtype and bytes sent to the device."""

import math
import tempfile
from pathlib import Path
from types import SimpleNamespace

import gates
import numpy as np
import pytest
from material import counted_decodes

from dftk.launch import run as launch
from dftk.runs.workdir import Workdir
from dftk.training.config import resolve
from dftk.training.folds import crossval
from dftk.training.folds.fold import FoldTrainer
from dftk.training.step import loop

pytest_plugins = ["shared_fixtures"]

KINDS = ("ram", "device", "disk", "none")
IMAGES = 100  # five of each shard


@pytest.fixture(scope="module")
def run(dataset_dir):
    """A run of five folds and both phases: what it decoded, trained and sent to the step."""
    config = resolve(
        {
            "dataset": dataset_dir,
            "cache": "ram",
            "model": "cnn",  # the smallest
            "weights": "none",
            "image_size": 32,
            "batch_size": 16,
            "max_examples": IMAGES,
            "frozen_epochs": 1,
            "finetune_epochs": 1,
        }
    )
    trainers, specs, distribute = [], [], loop.distribute

    class Recorded(FoldTrainer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            trainers.append(self)

    def recorded(devices, dataset):
        specs.append(dataset.element_spec)
        return distribute(devices, dataset)

    with (
        pytest.MonkeyPatch.context() as patch,
        counted_decodes() as decodes,
        tempfile.TemporaryDirectory() as folder,
    ):
        patch.setattr(crossval, "FoldTrainer", Recorded)
        patch.setattr(loop, "distribute", recorded)
        launch.train(config, range(5), Workdir(Path(folder, "run")))
    return SimpleNamespace(decodes=len(decodes), trainers=trainers, specs=specs)


def test_five_folds_decode_each_jpeg_once(run):
    gates.each_jpeg_is_decoded_once(run.decodes, IMAGES)


def test_five_folds_trace_each_phase_once(run):
    traces = {}
    for trainer in run.trainers:
        for phase, train_loop in trainer.phases.items():
            traces[phase.name] = traces.get(phase.name, 0) + train_loop.traces
    assert set(traces) == {"frozen", "finetune"}
    gates.each_phase_is_traced_once(traces)


def test_five_folds_hand_uint8_to_every_step(run):
    assert len(run.specs) == 5 * 2 * 2, "an epoch and its validation, two phases, five folds"
    for spec in run.specs:
        assert "image" in spec
        gates.batches_are_uint8(spec)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_pixels_and_a_few_bytes(opened, kind):
    examples = opened(kind)
    batch = next(iter(examples.batches(np.arange(32), batch_size=32, shuffle=(42, 0))))
    gates.batches_are_uint8(batch)
    gates.bytes_to_the_device(batch, kind, math.prod(examples.shape))
