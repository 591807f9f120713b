"""The phases of a run, their learning rates and early stops, and how long all of it takes."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from dftk.training.config import Config
from dftk.training.phase_config import PhaseConfig
from dftk.utils.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of the schedule.

    Attributes:
      name: "frozen" or "finetune".
      config: its flags.
      train_base: whether the base is trained, and not the head alone.
      warmup: steps in which the learning rate rises from 0.
      cosine: whether the learning rate falls to 0 over all steps, without plateaus and early stop.
    """

    name: str
    config: PhaseConfig
    train_base: bool
    warmup: int = 0
    cosine: bool = False

    @property
    def epochs(self) -> int:
        """Epochs of the phase, if nothing ends it early."""
        return self.config.epochs


class RateSchedule(NamedTuple):
    """What the learning rates of the next steps follow from; see loop.rate_at."""

    rate: float  # after the warm-up
    steps_done: float  # in this phase
    warmup: float  # steps
    cosine: float  # steps of the half cosine after the warm-up; infinity without one


def rate_schedule(phase: Phase, rate: float, steps_done: int, steps_per_epoch: int) -> RateSchedule:
    """Returns the schedule of the learning rate from a step of a phase on.

    Args:
      phase: of the schedule.
      rate: its learning rate after plateaus.
      steps_done: in this phase.
      steps_per_epoch: of this fold.
    """
    steps = phase.epochs * steps_per_epoch
    cosine = steps - phase.warmup if phase.cosine else math.inf
    return RateSchedule(rate, float(steps_done), float(phase.warmup), float(cosine))


def check_warmup(phase: Phase, steps_per_epoch: int) -> None:
    """Raises UsageError if the warm-up is longer than the phase.

    Args:
      phase: of the schedule.
      steps_per_epoch: of any fold; the smallest if they differ.
    """
    steps = phase.epochs * steps_per_epoch
    if phase.warmup >= steps:
        raise UsageError(
            f"--warmup={phase.warmup}: the phase {phase.name} has {steps} steps in all; give "
            f"fewer, or more --{phase.name}_epochs",
            ("warmup", f"{phase.name}_epochs"),
        )


def phases(config: Config) -> tuple[Phase, ...]:
    """Returns the phases of a run that have epochs, in order."""
    both = (
        Phase("frozen", config.frozen, train_base=False),
        Phase("finetune", config.finetune, train_base=config.finetune_base),
    )
    cosine = config.decay == "cosine"
    return tuple(
        dataclasses.replace(phase, warmup=config.warmup, cosine=cosine)
        for phase in both
        if phase.epochs
    )


@dataclasses.dataclass
class PlateauRate:
    """The learning rate of keras.callbacks.ReduceLROnPlateau(monitor="val_loss").

    Attributes:
      rate: of the next epoch.
      factor: of the rate on a plateau.
      patience: epochs without a better val_loss that are a plateau.
      floor: smallest rate.
      best: smallest val_loss so far.
      wait: epochs since then, or since the last plateau.
    """

    rate: float
    factor: float
    patience: int
    floor: float
    best: float = math.inf
    wait: int = 0

    min_delta: ClassVar = 1e-4  # Keras's default

    def update(self, val_loss: float) -> float:
        """Returns the learning rate of the next epoch, given the val_loss of the last."""
        if val_loss < self.best - self.min_delta:
            self.best, self.wait = val_loss, 0
        else:
            self.wait += 1
            if self.wait >= self.patience and self.rate > self.floor:
                self.rate, self.wait = max(self.rate * self.factor, self.floor), 0
        return self.rate


@dataclasses.dataclass
class EarlyStop:
    """The decision of keras.callbacks.EarlyStopping(monitor="val_loss").

    Attributes:
      patience: epochs without a better val_loss that end a phase.
      best: smallest val_loss so far.
      wait: epochs since then.
    """

    patience: int
    best: float = math.inf
    wait: int = 0

    def update(self, val_loss: float) -> bool:
        """Returns whether the phase ends, given the val_loss of its last epoch."""
        if val_loss < self.best:
            self.best, self.wait = val_loss, 0
        else:
            self.wait += 1
        return self.wait >= self.patience


def plateau_and_stop(phase: Phase, config: Config) -> tuple[PlateauRate, EarlyStop]:
    """Returns the learning rate and the early stop of a phase that has not begun."""
    never = phase.epochs + 1
    plateau, stop = (never, never) if phase.cosine else (phase.config.plateau, phase.config.stop)
    rate = PlateauRate(phase.config.lr, config.lr_factor, plateau, config.min_lr)
    return rate, EarlyStop(stop)


class EtaEstimator:
    """Estimates how long a run still takes from the epochs that it has finished.

    Until a phase has finished an epoch, its epochs are estimated from those of the other phase: an
    epoch that trains the base takes three times as long as one with the base frozen.

    Args:
      phases: of the schedule.
      folds: left to train, the current one included.
    """

    def __init__(self, phases: Sequence[Phase], folds: int):
        self._phases, self._folds = phases, folds
        self._seconds: dict[str, float] = {}  # of the last whole epoch, by phase

    def add_epoch(self, phase: Phase, seconds: float) -> None:
        """Notes how long an epoch took with its validation and without compiling."""
        self._seconds[phase.name] = seconds

    def end_fold(self) -> None:
        """Counts one fold less."""
        self._folds -= 1

    def left(self, index: int, epochs: int, now: float | None = None) -> float:
        """Returns the seconds until the last fold ends, if no phase stops early; NaN if unknown.

        Args:
          index: of the current phase.
          epochs: left in it.
          now: seconds of the current epoch, used until one of its phase has finished.
        """
        here = self._phases[index]
        known = {**({here.name: now} if now else {}), **self._seconds}
        per_epoch = [self._epoch(phase, known) for phase in self._phases]
        after = sum(p.epochs * s for p, s in zip(self._phases[index + 1 :], per_epoch[index + 1 :]))
        fold = sum(phase.epochs * seconds for phase, seconds in zip(self._phases, per_epoch))
        return epochs * per_epoch[index] + after + (self._folds - 1) * fold

    def _epoch(self, phase: Phase, known: Mapping[str, float]) -> float:
        if phase.name in known or not known:
            return known.get(phase.name, math.nan)
        other = next(phase for phase in self._phases if phase.name in known)
        return known[other.name] * _passes(phase) / _passes(other)


def _passes(phase: Phase) -> int:
    """Returns the cost of a step in forward passes; a backward pass costs two."""
    return 3 if phase.train_base else 1
