"""The two phases, and what val_loss does to them: learning rate, early stop, best weights."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from dftk.training.config import Config
from dftk.training.phase_config import PhaseConfig
from dftk.utils.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of the schedule."""

    name: str
    config: PhaseConfig
    train_base: bool
    warmup: int = 0  # steps in which the rate rises from 0
    cosine: bool = False  # the rate falls to 0 over all steps; no plateau and no early stop

    @property
    def epochs(self) -> int:
        """Epochs of the phase, if nothing ends it early."""
        return self.config.epochs


def rates(
    phase: Phase, rate: float, steps_done: int, steps_per_epoch: int
) -> tuple[float, float, float, float]:
    """What the learning rate of every step from here on follows from, see loop.rate_at.

    Args:
      phase: at hand.
      rate: its learning rate, as val_loss has left it.
      steps_done: in this phase.
      steps_per_epoch: of this fold.

    Returns:
      rate; steps done; steps of the warm-up; steps of the half cosine after it, or infinity.
    """
    steps = phase.epochs * steps_per_epoch
    cosine = steps - phase.warmup if phase.cosine else math.inf
    return rate, float(steps_done), float(phase.warmup), float(cosine)


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
    """keras.callbacks.ReduceLROnPlateau(monitor="val_loss"), without a Keras `fit` around it."""

    rate: float
    factor: float
    patience: int
    floor: float
    best: float = math.inf
    wait: int = 0

    min_delta: ClassVar = 1e-4  # Keras's default

    def update(self, val_loss: float) -> float:
        """Takes an epoch's val_loss; returns the learning rate of the next epoch."""
        if val_loss < self.best - self.min_delta:
            self.best, self.wait = val_loss, 0
        else:
            self.wait += 1
            if self.wait >= self.patience and self.rate > self.floor:
                self.rate, self.wait = max(self.rate * self.factor, self.floor), 0
        return self.rate


@dataclasses.dataclass
class EarlyStop:
    """keras.callbacks.EarlyStopping(monitor="val_loss"), likewise."""

    patience: int
    best: float = math.inf
    wait: int = 0

    def update(self, val_loss: float) -> bool:
        """Takes an epoch's val_loss; returns whether the phase ends here."""
        if val_loss < self.best:
            self.best, self.wait = val_loss, 0
        else:
            self.wait += 1
        return self.wait >= self.patience


def patience(phase: Phase, config: Config) -> tuple[PlateauRate, EarlyStop]:
    """What val_loss does to a phase, at its beginning."""
    never = phase.epochs + 1
    plateau, stop = (never, never) if phase.cosine else (phase.config.plateau, phase.config.stop)
    rate = PlateauRate(phase.config.lr, config.lr_factor, plateau, config.min_lr)
    return rate, EarlyStop(stop)


class EtaEstimator:
    """How long a run still takes, from the epochs that it has seen.

    A phase that none was seen of is taken at what forward and backward passes cost: an epoch that
    trains everything at three of one with the base frozen.

    Args:
      phases: of the schedule.
      folds: to train, the one at hand included.
    """

    def __init__(self, phases: Sequence[Phase], folds: int):
        self._phases, self._folds = phases, folds
        self._seconds: dict[str, float] = {}  # of the last whole epoch, by phase

    def saw(self, phase: Phase, seconds: float) -> None:
        """Takes the time of a whole epoch, validation included, without compiling."""
        self._seconds[phase.name] = seconds

    def end_fold(self) -> None:
        """One fold less."""
        self._folds -= 1

    def left(self, index: int, epochs: int, now: float | None = None) -> float:
        """Seconds until the last fold ends, if no phase stops early; NaN if nothing is known yet.

        Args:
          index: of the phase at hand.
          epochs: left in it.
          now: seconds of an epoch in this phase, if none was seen.
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
    """A backward pass costs two forward ones."""
    return 3 if phase.train_base else 1
