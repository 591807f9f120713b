"""How far a fold is: everything in a checkpoint but the arrays."""

import dataclasses
import math
from typing import Any, NamedTuple

from dftk.training.schedule import EarlyStop, PlateauRate
from dftk.utils.progress import Throughput


class EpochTotals(NamedTuple):
    """Sums over the steps of an epoch so far; a float32 [4] in the compiled loop."""

    loss: float = 0.0  # of the examples, without penalties
    correct: float = 0.0  # examples classified right
    examples: float = 0.0
    waiting_s: float = 0.0  # for input


@dataclasses.dataclass
class FoldState:
    """Where a fold is in its schedule. It holds no random state, because randomness is keyed by it.

    Order and augmentation are drawn from (seed, epoch). Dropout is drawn from (seed, fold, epoch)
    and from the steps since, which a variable of the model counts.

    Attributes:
      fold: index of the fold.
      rate: learning rate of the phase.
      stop: early stop of the phase.
      phase: index of the phase.
      epoch: epochs finished in this phase.
      step: steps finished in the current epoch.
      totals: of these steps.
      over: whether no epoch of this phase is left.
      best: val_loss of the weights to keep.
      best_phase: index of the phase that reached them.
      history: one row an epoch, see dftk.runs.workdir.HISTORY_COLUMNS.
      throughput: by phase.
    """

    fold: int
    rate: PlateauRate
    stop: EarlyStop
    phase: int = 0
    epoch: int = 0
    step: int = 0
    totals: EpochTotals = dataclasses.field(default_factory=EpochTotals)
    over: bool = False
    best: float = math.inf
    best_phase: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    throughput: dict[str, Throughput] = dataclasses.field(default_factory=dict)

    @property
    def total_epochs(self) -> int:
        """Epochs finished in all phases, by which randomness is keyed."""
        return len(self.history)

    def end_epoch(self, row: dict[str, Any], epochs: int, keep: str = "best") -> bool:
        """Adds an epoch to the history and goes on to the next.

        Args:
          row: of the history, with the epoch's val_loss.
          epochs: of the phase, at most.
          keep: "best" by val_loss, or "last".

        Returns:
          whether the weights of this epoch are to be kept.
        """
        self.history.append(row)
        self.epoch, self.step, self.totals = self.epoch + 1, 0, EpochTotals()
        self.rate.update(row["val_loss"])
        self.over = self.stop.update(row["val_loss"]) or self.epoch == epochs
        if better := row["val_loss"] < self.best or keep == "last":
            self.best, self.best_phase = row["val_loss"], self.phase
        return better

    def begin_phase(self, phase: int, rate: PlateauRate, stop: EarlyStop) -> None:
        """Puts the fold before the first epoch of a phase."""
        self.phase, self.rate, self.stop = phase, rate, stop
        self.epoch, self.step, self.totals, self.over = 0, 0, EpochTotals(), False

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "FoldState":
        """Returns the state of which `dataclasses.asdict`, by way of JSON, made the record."""
        names = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in record.items() if name in names}
        values["rate"], values["stop"] = PlateauRate(**values["rate"]), EarlyStop(**values["stop"])
        values["totals"] = EpochTotals(*values["totals"])
        speeds = {name: Throughput(**speed) for name, speed in values["throughput"].items()}
        return cls(**{**values, "throughput": speeds})
