"""The two phases, and what val_loss does to them: learning rate, early stop, best weights."""

import dataclasses

from dftk.config import Config


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of the schedule."""

    name: str
    epochs: int
    learning_rate: float
    stop: int  # epochs without a better val_loss before the phase ends
    plateau: int  # epochs without a better val_loss before the rate falls
    train_base: bool


def phases(config: Config) -> tuple[Phase, ...]:
    """The phases of a run that have epochs, in order."""
    both = (
        Phase(
            "frozen",
            config.frozen_epochs,
            config.frozen_lr,
            config.frozen_stop,
            config.frozen_plateau,
            train_base=False,
        ),
        Phase(
            "finetune",
            config.finetune_epochs,
            config.finetune_lr,
            config.finetune_stop,
            config.finetune_plateau,
            train_base=config.finetune_base,
        ),
    )
    return tuple(phase for phase in both if phase.epochs)


class PlateauRate:
    """keras.callbacks.ReduceLROnPlateau(monitor="val_loss"), without a Keras `fit` around it."""

    min_delta = 1e-4  # Keras's default

    def __init__(self, rate: float, factor: float, patience: int, floor: float):
        self.rate = rate
        self._factor, self._patience, self._floor = factor, patience, floor
        self._best, self._wait = float("inf"), 0

    def update(self, val_loss: float) -> float:
        """Takes an epoch's val_loss; returns the learning rate of the next epoch."""
        if val_loss < self._best - self.min_delta:
            self._best, self._wait = val_loss, 0
        else:
            self._wait += 1
            if self._wait >= self._patience and self.rate > self._floor:
                self.rate, self._wait = max(self.rate * self._factor, self._floor), 0
        return self.rate


class EarlyStop:
    """keras.callbacks.EarlyStopping(monitor="val_loss"), likewise."""

    def __init__(self, patience: int):
        self._patience = patience
        self._best, self._wait = float("inf"), 0

    def update(self, val_loss: float) -> bool:
        """Takes an epoch's val_loss; returns whether the phase ends here."""
        if val_loss < self._best:
            self._best, self._wait = val_loss, 0
        else:
            self._wait += 1
        return self._wait >= self._patience
