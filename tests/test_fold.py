import math

import numpy as np
import pytest
from conftest import quick_config

from dftk.config import UserError
from dftk.training import devices, fold


@pytest.fixture(scope="module")
def trainer(data_dir, examples):
    import dataclasses

    config = dataclasses.replace(quick_config(data_dir), finetune_epochs=0, frozen_epochs=4,
                                 frozen_stop=2, frozen_lr=3e-3)  # fmt: skip
    return fold.FoldTrainer(config, devices.choose(config), examples)


def test_a_fold_trained_twice_is_bit_identical_and_traced_once(trainer):
    first, _, again = trainer.run(1), trainer.run(2), trainer.run(1)
    assert again.predictions == first.predictions
    strip = [
        [{k: v for k, v in row.items() if k not in ("examples_per_s", "input_wait", "seconds")}
         for row in result.history] for result in (first, again)
    ]  # fmt: skip
    assert strip[0] == strip[1]
    assert [trainable.traces for trainable in trainer.phases.values()] == [1]


def test_a_fold_never_trains_on_what_it_predicts(trainer):
    result = trainer.run(4)
    names = {row["filename"] for row in result.predictions}
    examples = trainer._examples
    assert names == set(examples.filenames[examples.folds == 4])
    assert len(names) == 80


def test_patience_ends_a_phase_early(trainer):
    losses = [row["val_loss"] for row in trainer.run(0).history]
    best = int(np.argmin(losses))
    assert len(losses) == min(4, best + 3)


def test_throughput_leaves_compilation_out():
    speed = fold.Throughput(compile_seconds=9.0)
    assert math.isnan(speed.examples_per_s)
    speed += fold.Throughput(examples=100.0, seconds=2.0, waited=0.5)
    assert speed.summary() == {
        "examples_per_s": 50.0, "input_wait": 0.25, "train_seconds": 2.0, "compile_seconds": 9.0,
    }  # fmt: skip


def test_a_loss_that_is_no_number_stops_with_the_epoch_and_the_rate(data_dir, examples):
    import dataclasses

    config = dataclasses.replace(quick_config(data_dir), finetune_epochs=0, frozen_lr=1e30)
    trainer = fold.FoldTrainer(config, devices.choose(config), examples)
    with pytest.raises(
        UserError, match=r"fold 0, frozen epoch 1: .*lower the learning rate \(1e\+30\)"
    ):
        trainer.run(0)
