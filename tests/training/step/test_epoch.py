"""Between two calls of the compiled loop: checkpoints where they are due, a signal, a loss gone."""

import dataclasses
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
from training_rig import SMALL, Rig

from dftk.training.phase_config import PhaseConfig
from dftk.training.resume.interruption import Interrupted, StopRequest
from dftk.training.resume.state import EpochTotals, FoldState
from dftk.training.schedule import EarlyStop, Phase, PlateauRate
from dftk.training.step.epoch import EpochTrainer
from dftk.training.step.profile import StepProfile
from dftk.training.step.stop_check import StopCheck
from dftk.utils.errors import UserError

PHASE = Phase("frozen", PhaseConfig(epochs=3, lr=1e-3, stop=9, plateau=4), train_base=False)
ROWS = np.arange(100)  # 7 steps of 16, or one less


@pytest.fixture(scope="module")
def rig(examples):
    return Rig(examples, **SMALL)


@pytest.fixture
def epochs(rig):
    def make(save_steps=None, signals=None):
        context = rig.context(check_stop=StopCheck(rig.devices, signals or StopRequest()))
        return EpochTrainer(
            context=context, save_steps=save_steps, profile=StepProfile(None, Path())
        )

    rig.initial.restore()
    return make


def begin():
    return FoldState(0, PlateauRate(1e-3, 0.5, 4, 1e-7), EarlyStop(9))


def nothing(*_):
    pass


def train(rig, epochs, state, save=nothing, show=nothing, phase=PHASE):
    return epochs.train(
        train_loop=rig.phases["frozen"],
        phase=phase,
        state=state,
        rows=ROWS,
        batcher=rig.examples.batches,
        save=save,
        show=show,
    )


def test_a_checkpoint_is_due_after_every_so_many_steps(rig, epochs):
    state, saved = begin(), []
    train(rig, epochs(save_steps=3), state, save=lambda: saved.append(state.step))
    assert saved == [3, 6]
    assert state.step == 7
    assert state.totals.examples == 100


def test_a_signal_stops_between_calls_and_the_rest_ends_with_the_same_bits(rig, epochs):
    whole = begin()
    train(rig, epochs(), whole)
    expected = rig.weights(rig.detector.model.variables)

    rig.initial.restore()
    signals, state = StopRequest(), begin()

    def later(done, *_):
        if done > 30:
            signals.number = signal.SIGTERM

    with pytest.raises(Interrupted):
        train(rig, epochs(save_steps=2, signals=signals), state, show=later)
    assert 0 < state.step < 7
    row, _ = train(rig, epochs(), state)
    assert state.totals[:3] == whole.totals[:3]
    assert row["loss"] > 0
    for ours, theirs in zip(rig.weights(rig.detector.model.variables), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_epoch_trained_and_not_yet_validated_is_not_trained_again(rig, epochs):
    state = begin()
    first, _ = train(rig, epochs(), state)
    before = rig.weights(rig.detector.model.variables)
    again, speed = train(rig, epochs(), state)
    assert (again["loss"], again["accuracy"]) == (first["loss"], first["accuracy"])
    assert speed.steps == 0
    for ours, theirs in zip(rig.weights(rig.detector.model.variables), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_loss_that_is_gone_is_told_within_the_epoch_and_never_saved(rig, epochs):
    saved = []
    state = dataclasses.replace(begin(), rate=PlateauRate(1e30, 0.5, 4, 1e-7))
    with pytest.raises(UserError, match=r"the loss is (nan|inf) after step \d of this epoch, at"):
        train(rig, epochs(save_steps=1), state, save=lambda: saved.append(state.totals.loss))
    assert np.isfinite(saved).all()


def test_the_rate_moves_with_every_step_across_calls(rig, epochs):
    """As Keras's CosineDecay has it, whose first step is at the start of the warm-up's end."""
    phase = dataclasses.replace(PHASE, warmup=4, cosine=True)
    state, rates = begin(), []
    decay = keras.optimizers.schedules.CosineDecay(1e-3, 3 * 7 - 4)

    def seen():
        rates.append(float(rig.phases["frozen"].optimizer.learning_rate))

    for _ in range(3):
        train(rig, epochs(save_steps=1), state, save=seen, phase=phase)
        state.epoch, state.step, state.totals = state.epoch + 1, 0, EpochTotals()
    expected = [1e-3 * (step + 1) / 4 for step in range(4)]
    expected += [float(decay(step)) for step in range(17)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_a_rate_that_rests_is_exact(rig, epochs):
    train(rig, epochs(), begin())
    assert rig.phases["frozen"].optimizer.learning_rate.numpy() == np.float32(1e-3)
