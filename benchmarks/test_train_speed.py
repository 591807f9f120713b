"""Training against Keras's `fit`, five folds against rebuilding the model, the cost of saving."""

import dataclasses
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import gates
import keras
import numpy as np
import pytest
from rig import BATCH_SIZE, GPU

from dftk.datasets import catalog
from dftk.input import residency
from dftk.models import registry
from dftk.perf import timing
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.folds.fold import FoldTrainer
from dftk.training.resume.checkpoint import Checkpoints
from dftk.training.resume.snapshot import VariableSnapshot
from dftk.training.step.context import TrainingContext

pytest_plugins = ["shared_fixtures"]

long = pytest.mark.long


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(("--mixed_precision", "--image_size=64"), marks=long),
        pytest.param(("--image_size=128",), marks=long),
        pytest.param(("--image_size=128", "--mixed_precision"), marks=long),
        pytest.param(("--image_size=128", "--devices=2"), marks=long),
        pytest.param(("--image_size=128", "--devices=2", "--mixed_precision"), marks=long),
        pytest.param(("--image_size=128", "--base_batchnorm=update"), marks=long),
    ],
    ids=" ".join,
)
def test_steps_against_fit(flags):
    script = Path(__file__).with_name("against_fit.py")
    answer = subprocess.run(
        [sys.executable, script, *flags], capture_output=True, text=True, check=True
    )
    rows = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    assert [row["phase"] for row in rows] == ["frozen", "finetune"]
    for row in rows:
        names = [field.name for field in dataclasses.fields(timing.Ratio)]
        ratio = timing.Ratio(**{name: row[name] for name in names})
        print(
            f"\n{row['phase']}, {row['device']}, {' '.join(flags)}: fit / ours "
            f"{ratio.median:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
        )
        gates.STEPS_AGAINST_FIT.check(ratio)


def test_saving_costs_little_of_an_epoch(rig, tmp_path):
    """Fine-tuning has the largest state. An epoch is RVF10K's, at the rate measured here."""
    train_loop = rig.train_loop("finetune", on_device=False)
    variables = {
        "model": list(rig.detector.model.variables),
        "optimizer": list(train_loop.optimizer.variables),
    }
    checkpoints = Checkpoints(tmp_path / "checkpoint")

    def save() -> None:
        values = {name: VariableSnapshot(group).values for name, group in variables.items()}
        checkpoints.save({}, values, values["model"])

    run = lambda: rig.run(train_loop, rig.batches("finetune", "ram"), 2)  # noqa: E731
    run()
    step_s = np.median([timing.seconds(run) for _ in range(3)]) / 2
    stalls, writes = [], []
    for _ in range(3):
        stalls.append(timing.seconds(save))
        writes.append(timing.seconds(checkpoints.wait))
    epoch_s = step_s * 5600 / BATCH_SIZE
    stall, write = float(np.median(stalls)), float(np.median(writes))
    size = sum(path.stat().st_size for path in (tmp_path / "checkpoint").glob("*-000003.npz"))
    print(
        f"\nsaving {size / 1e6:.0f} MB: training stands still for {stall:.2f} s, "
        f"{stall / epoch_s:.2%} of an epoch; written beside it in {write:.2f} s"
    )
    gates.saving_costs_little(stall / epoch_s, GPU)


@long
def test_five_folds_of_the_sample_against_rebuilding_for_each(tmp_path):
    """One pair of times; the other side makes the model, its phases and their traces every time."""
    config = resolve({"dataset": "sample", "data_dir": str(tmp_path / "data")})
    devices = devices_lib.choose(config)
    dataset = catalog.open_dataset("sample", config.data_dir, 5)
    examples = residency.open_examples(dataset.train, "ram")
    numbers = itertools.count()

    def trainer() -> FoldTrainer:
        keras.backend.clear_session()
        detector = registry.build(config, devices.policy, False)
        return FoldTrainer(
            TrainingContext.create(
                config=config, devices=devices, detector=detector, examples=examples
            )
        )

    def train(rebuild: bool) -> tuple[float, list]:
        began, one, results = time.perf_counter(), None, []
        for fold in range(5):
            one = trainer() if rebuild or one is None else one
            results.append(one.run(fold, Checkpoints(tmp_path / str(next(numbers)))))
        return time.perf_counter() - began, [result.predictions for result in results]

    ours, predictions = train(rebuild=False)
    theirs, rebuilt = train(rebuild=True)
    print(f"\nfive folds: {ours:.0f} s, rebuilt for each {theirs:.0f} s, {theirs / ours:.2f} times")
    assert predictions == rebuilt, "the same bits"
    gates.one_graph_for_five_folds(theirs / ours)
