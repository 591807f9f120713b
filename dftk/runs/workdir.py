"""The folder of a run: its files, who may write them, and which folds are finished."""

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import TEMPORARY, read_csv, write_json
from dftk.utils.progress import say

HISTORY_COLUMNS = (
    "fold",
    "phase",
    "epoch",
    "learning_rate",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_auc",
    "examples_per_s",
    "input_wait",
    "seconds",
)
PREDICTION_COLUMNS = ("filename", "fold", "label", "probability")

_LOCK_S = 180  # a process may take so long to end, or a file server to notice its end

# Fields of the config that may change when a run continues. They say where inputs and pixels are
# stored, which does not change the results.
CHANGEABLE_FIELDS = ("dataset", "data_dir", "weights", "cache")


def training_seconds(throughput: Mapping[str, Any]) -> float:
    """Seconds of training and compiling, summed over the folds.

    The features pass counts once, since all folds share its result.

    Args:
      throughput: as Workdir.throughput returns it.
    """
    features, rest = [0.0], 0.0
    for phases in throughput.values():
        for name, phase in phases.items():
            seconds = phase["train_seconds"] + phase["compile_seconds"]
            if name == "features":
                features.append(seconds)
            else:
                rest += seconds
    return rest + max(features)


class Workdir:
    """The folder of one run.

    A fold is finished when its `predictions.csv` exists, since that is written last.
    """

    def __init__(self, path: str | Path):
        if not str(path):  # pathlib would take the current folder
            raise UsageError("--workdir is empty; give a folder")
        self.path = Path(path)

    def fold_dir(self, fold: int) -> Path:
        """`fold_<f>/`: model.keras, history.csv, predictions.csv, throughput.json."""
        return self.path / f"fold_{fold}"

    def model_path(self, fold: int) -> Path:
        """The saved model of a fold."""
        return self.fold_dir(fold) / "model.keras"

    def is_finished(self, fold: int) -> bool:
        """Whether all files of the fold have been written."""
        return (self.fold_dir(fold) / "predictions.csv").is_file()

    def finished_folds(self) -> list[int]:
        """The indices of the finished folds, in ascending order."""
        names = [path.name.removeprefix("fold_") for path in self.path.glob("fold_*")]
        return [
            fold for fold in sorted(int(n) for n in names if n.isdigit()) if self.is_finished(fold)
        ]

    def require_folds(self) -> list[int]:
        """The finished folds.

        Raises:
          UserError: there is none.
        """
        if not (folds := self.finished_folds()):
            raise UserError(
                f"{self.path}: no finished fold in this workdir yet; train one with "
                f"python -m dftk.train --workdir={self.path}"
            )
        return folds

    def has_states(self) -> bool:
        """Whether the state of an unfinished fold is saved."""
        return any(self.path.glob("fold_*/checkpoint/state-*.npz"))

    def begin_fold(self, fold: int) -> Path:
        """Makes the fold's folder. Removes partial files that a killed process left there."""
        folder = self.fold_dir(fold)
        folder.mkdir(exist_ok=True)
        for orphan in folder.rglob(f"{TEMPORARY}*"):
            orphan.unlink()
        return folder

    @contextlib.contextmanager
    def locked(self, fold: int) -> Iterator[None]:
        """Locks the fold, so that no other process trains it and overwrites its state.

        Waits three minutes for another process, which may be about to end.

        Raises:
          UserError: another process still holds the lock, or the storage has no locks.
        """
        path = self.fold_dir(fold) / ".lock"
        path.parent.mkdir(exist_ok=True)
        for second in range(_LOCK_S):
            with path.open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if second == 0:
                        say(
                            f"fold {fold}: another process trains it here; waiting until it ends",
                            milestone=True,
                        )
                    time.sleep(1)
                    continue
                except OSError as error:
                    raise UserError(
                        f"{path}: this storage does not support locks ({error.strerror}); choose "
                        "another --workdir"
                    ) from error
                # The former owner may have removed the file while this process waited for it.
                if not (path.exists() and path.samefile(f"/proc/self/fd/{file.fileno()}")):
                    continue
                yield
                path.unlink(missing_ok=True)
                return
        raise UserError(f"{self.fold_dir(fold)}: another process trains this fold; stop it first")

    def remove_leftovers(self, fold: int) -> None:
        """Removes what a process leaves that is killed after a fold's last file was written."""
        shutil.rmtree(self.fold_dir(fold) / "checkpoint", ignore_errors=True)
        (self.fold_dir(fold) / ".lock").unlink(missing_ok=True)
        for orphan in self.path.glob(f"{TEMPORARY}*"):
            if time.time() - orphan.stat().st_mtime > 3600:  # else a process may be writing it
                orphan.unlink(missing_ok=True)

    def open(self, record: Mapping[str, Any], write: bool = True) -> None:
        """Makes the folder, or continues the run in it.

        Args:
          record: the content of config.json. If the folder holds a run, "config" and "inputs" must
            equal those of that run, except for CHANGEABLE_FIELDS. Other entries of the former file
            stay.
          write: False only compares.

        Raises:
          UserError: the folder cannot be written, or holds a run with other settings.
        """
        file = self.path / "config.json"
        try:
            if write:
                self.path.mkdir(parents=True, exist_ok=True)
            former: dict[str, Any] = {}
            if self.finished_folds() or self.has_states():
                former = self.config()
                self._refuse_other_run(former, record)
            if write:
                write_json(file, {**former, **record})
        except OSError as error:
            raise UserError(
                f"--workdir={self.path}: cannot write there ({error.strerror}); choose another"
            ) from None

    def _refuse_other_run(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for part in ("inputs", "config"):
            for name, value in now[part].items():
                if part == "config" and name in CHANGEABLE_FIELDS:
                    continue
                if (former := before.get(part, {}).get(name)) != value:
                    raise UserError(
                        f"--workdir={self.path} holds a run with {name}={former}, this one has "
                        f"{name}={value}; choose another --workdir or remove that one"
                    )

    def config(self) -> dict[str, Any]:
        """config.json.

        Raises:
          UserError: no run in this folder.
        """
        file = self.path / "config.json"
        try:
            return json.loads(file.read_text())
        except OSError:
            raise UserError(
                f"{self.path}: no config.json of a run in it; python -m dftk.train makes one"
            ) from None
        except ValueError:
            raise UserError(
                f"{file}: not valid JSON; remove it or choose another --workdir"
            ) from None

    def chosen_threshold(self) -> float | None:
        """The threshold chosen on the held-out predictions; None if none was chosen (yet).

        Raises:
          UserError: metrics.json is damaged.
        """
        file = self.path / "metrics.json"
        try:
            return json.loads(file.read_text())["threshold"]["value"]
        except (FileNotFoundError, KeyError):  # an unfinished run, or one of an old version
            return None
        except (OSError, ValueError, TypeError):
            raise UserError(
                f"{file}: not readable as JSON; python -m dftk.train --merge --workdir={self.path} "
                "writes it again"
            ) from None

    def history(self) -> list[dict[str, Any]]:
        """The rows of all finished folds' history.csv."""
        return self._join("history.csv")

    def predictions(self) -> list[dict[str, Any]]:
        """The rows of all finished folds' predictions.csv."""
        return self._join("predictions.csv")

    def throughput(self) -> dict[str, Any]:
        """The content of each finished fold's throughput.json, by the fold's folder name."""
        return {
            f"fold_{fold}": json.loads((self.fold_dir(fold) / "throughput.json").read_text())
            for fold in self.finished_folds()
        }

    def _join(self, name: str) -> list[dict[str, Any]]:
        return [
            row for fold in self.finished_folds() for row in read_csv(self.fold_dir(fold) / name)
        ]


def workdir_of_model(model: Path) -> tuple[Workdir, int] | None:
    """The workdir and the fold that a model file belongs to; None if it is in no workdir."""
    folder = model.absolute().parent
    number = folder.name.removeprefix("fold_")
    workdir = Workdir(folder.parent)
    if not (number.isdigit() and (workdir.path / "config.json").is_file()):
        return None
    return (workdir, int(number)) if model.absolute() == workdir.model_path(int(number)) else None
