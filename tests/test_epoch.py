"""Between two calls of the compiled loop: checkpoints where they are due, a signal, a loss gone."""

import dataclasses
import signal
from pathlib import Path

import numpy as np
import pytest
from test_loop import Rig

from dftk.config import UserError
from dftk.training.epoch import Epochs
from dftk.training.interruption import Interrupted, Interruption
from dftk.training.profile import StepProfile
from dftk.training.schedule import EarlyStop, PlateauRate
from dftk.training.state import FoldState

ROWS = np.arange(100)  # 7 steps of 16, or one less


@pytest.fixture(scope="module")
def rig(examples):
    return Rig(examples)


@pytest.fixture
def epochs(rig):
    def make(save_steps=None, signals=None):
        return Epochs(
            rig.config, rig.devices, rig.detector, rig.examples, save_steps,
            signals or Interruption(), StepProfile(None, Path()),
        )  # fmt: skip

    rig.initial.restore()
    rig.phases["frozen"].optimizer.learning_rate = 1e-3
    return make


def begin():
    return FoldState(0, PlateauRate(1e-3, 0.5, 4, 1e-7), EarlyStop(9))


def nothing(*_):
    pass


def test_a_checkpoint_is_due_after_every_so_many_steps(rig, epochs):
    state, saved = begin(), []
    epochs(save_steps=3).train(
        rig.phases["frozen"], state, ROWS, lambda: saved.append(state.step), nothing
    )
    assert saved == [3, 6]
    assert state.step == 7
    assert state.totals[2] == 100


def test_a_signal_stops_between_calls_and_the_rest_ends_with_the_same_bits(rig, epochs):
    trainable = rig.phases["frozen"]
    whole = begin()
    epochs().train(trainable, whole, ROWS, nothing, nothing)
    expected = rig.weights(rig.detector.model.variables)

    rig.initial.restore()
    trainable.optimizer.learning_rate = 1e-3
    signals, state = Interruption(), begin()

    def later(done, *_):
        if done > 30:
            signals.number = signal.SIGTERM

    with pytest.raises(Interrupted):
        epochs(save_steps=2, signals=signals).train(trainable, state, ROWS, nothing, later)
    assert 0 < state.step < 7
    row, _ = epochs().train(trainable, state, ROWS, nothing, nothing)
    assert state.totals[:3] == whole.totals[:3]
    assert row["loss"] > 0
    for ours, theirs in zip(rig.weights(rig.detector.model.variables), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_epoch_trained_and_not_yet_validated_is_not_trained_again(rig, epochs):
    state = begin()
    first, _ = epochs().train(rig.phases["frozen"], state, ROWS, nothing, nothing)
    before = rig.weights(rig.detector.model.variables)
    again, speed = epochs().train(rig.phases["frozen"], state, ROWS, nothing, nothing)
    assert (again["loss"], again["accuracy"]) == (first["loss"], first["accuracy"])
    assert speed.steps == 0
    for ours, theirs in zip(rig.weights(rig.detector.model.variables), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_loss_that_is_gone_is_told_within_the_epoch_and_never_saved(rig, epochs):
    rig.phases["frozen"].optimizer.learning_rate = 1e30
    saved = []
    state = dataclasses.replace(begin(), rate=PlateauRate(1e30, 0.5, 4, 1e-7))
    with pytest.raises(UserError, match=r"the loss is (nan|inf) after step \d of this epoch, at"):
        epochs(save_steps=1).train(
            rig.phases["frozen"], state, ROWS, lambda: saved.append(state.totals[0]), nothing
        )
    assert np.isfinite(saved).all()
