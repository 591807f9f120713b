"""How far a fold is: all that a checkpoint holds beside arrays."""

import dataclasses
import math
from typing import Any

from dftk.training.schedule import EarlyStop, PlateauRate
from dftk.utils.progress import Throughput


@dataclasses.dataclass
class FoldState:
    """Where a fold stands in its schedule. Randomness is keyed by it, and so needs no state.

    Order and augmentation are drawn from (seed, epoch), dropout from (seed, fold, epoch) and, as a
    variable of the model, from the steps since.
    """

    fold: int
    rate: PlateauRate
    stop: EarlyStop
    phase: int = 0  # index
    epoch: int = 0  # epochs finished in this phase
    step: int = 0  # steps finished in the epoch at hand
    totals: list[float] = dataclasses.field(default_factory=lambda: [0.0] * 4)  # of those steps
    over: bool = False  # no epoch of this phase is left
    best: float = math.inf  # val_loss of the weights to keep: the smallest over all phases
    best_phase: int = 0  # in which they were reached
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    throughput: dict[str, Throughput] = dataclasses.field(default_factory=dict)  # by phase

    @property
    def total_epochs(self) -> int:
        """Epochs finished in all phases: what randomness is keyed by."""
        return len(self.history)

    def end_epoch(self, row: dict[str, Any], epochs: int, keep: str = "best") -> bool:
        """Takes an epoch's row of the history, which has its val_loss; moves on to the next.

        Args:
          row: see dftk.runs.workdir.HISTORY_COLUMNS.
          epochs: of the phase, at most.
          keep: "best" by val_loss, or "last".

        Returns:
          whether this epoch's weights are those to keep.
        """
        self.history.append(row)
        self.epoch, self.step, self.totals = self.epoch + 1, 0, [0.0] * 4
        self.rate.update(row["val_loss"])
        self.over = self.stop.update(row["val_loss"]) or self.epoch == epochs
        if better := row["val_loss"] < self.best or keep == "last":
            self.best, self.best_phase = row["val_loss"], self.phase
        return better

    def begin_phase(self, phase: int, rate: PlateauRate, stop: EarlyStop) -> None:
        """Puts the fold before the first epoch of a phase."""
        self.phase, self.rate, self.stop = phase, rate, stop
        self.epoch, self.step, self.totals, self.over = 0, 0, [0.0] * 4, False

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "FoldState":
        """Back from `dataclasses.asdict`, by way of JSON."""
        names = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in record.items() if name in names}
        values["rate"], values["stop"] = PlateauRate(**values["rate"]), EarlyStop(**values["stop"])
        speeds = {name: Throughput(**speed) for name, speed in values["throughput"].items()}
        return cls(**{**values, "throughput": speeds})
