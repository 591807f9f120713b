import dataclasses
import json
import math

from dftk.training.resume.state import EpochTotals, FoldState
from dftk.training.schedule import EarlyStop, PlateauRate
from dftk.utils.progress import Throughput


def make():
    return FoldState(3, PlateauRate(1e-3, 0.5, 2, 1e-7), EarlyStop(3))


def test_a_state_comes_back_from_json():
    state = make()
    state.end_epoch({"val_loss": 0.1 + 0.2, "phase": "frozen"}, 10)
    state.begin_phase(1, PlateauRate(1e-5, 0.5, 7, 1e-7), EarlyStop(15))
    state.step, state.totals = 7, EpochTotals(1.5, 2.0, 32.0, 0.1)
    state.throughput["frozen"] = Throughput(10.0, 3, 2.0)
    again = FoldState.from_record(json.loads(json.dumps(dataclasses.asdict(state))))
    assert again == state
    assert make() == FoldState.from_record(json.loads(json.dumps(dataclasses.asdict(make()))))


def test_an_epoch_ends_with_its_patience_and_the_best_so_far():
    state = make()
    assert state.best == math.inf
    better = [state.end_epoch({"val_loss": loss}, 10) for loss in (0.5, 0.7, 0.6)]
    assert better == [True, False, False]
    assert (state.best, state.best_phase, state.epoch, state.total_epochs) == (0.5, 0, 3, 3)
    assert state.rate.rate == 5e-4
    assert not state.over
    state.end_epoch({"val_loss": 0.6}, 10)
    assert state.over, "three epochs without a better val_loss"


def test_a_phase_ends_with_its_last_epoch_and_the_best_is_kept_over_phases():
    state = make()
    state.end_epoch({"val_loss": 0.5}, 1)
    assert state.over
    state.step = 4
    state.begin_phase(1, PlateauRate(1e-5, 0.5, 7, 1e-7), EarlyStop(15))
    assert (state.over, state.epoch, state.step, state.total_epochs) == (False, 0, 0, 1)
    assert not state.end_epoch({"val_loss": 0.6}, 5)
    assert (state.best, state.best_phase) == (0.5, 0)
    assert state.end_epoch({"val_loss": 0.4}, 5)
    assert state.best_phase == 1
