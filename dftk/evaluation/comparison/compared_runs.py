"""Runs that are to be compared: read, and made sure that they scored the same images."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dftk.evaluation import saved_folds
from dftk.evaluation.stats import metrics
from dftk.models.config import THRESHOLD
from dftk.runs.results import read_valid
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.files import read_csv
from dftk.utils.progress import say

_COLUMNS = ("fold", "label", "probability")


@dataclasses.dataclass(frozen=True)
class Scored:
    """One set of images as a run scored it, in the order that all runs share."""

    labels: np.ndarray  # int [n]
    probabilities: np.ndarray  # float [n]
    thresholds: np.ndarray  # float [n], the chosen one of each image

    def right(self, chosen: bool) -> np.ndarray:
        """bool [n], whether the decision is, at 0.5 or at the chosen threshold."""
        threshold = self.thresholds if chosen else THRESHOLD
        return (self.probabilities >= threshold) == (self.labels == 1)


@dataclasses.dataclass(frozen=True)
class Run:
    """What of a run is compared."""

    name: str
    workdir: Workdir
    filenames: tuple[str, ...]  # [n], of held_out
    folds: np.ndarray  # int [n], of held_out
    held_out: Scored
    valid: Scored | None


def named(workdirs: Sequence[Workdir]) -> dict[str, Workdir]:
    """Workdirs by the folder's name, or the whole path where two have the same."""
    names = [workdir.path.resolve().name for workdir in workdirs]
    unique = len(set(names)) == len(names)
    return {name if unique else str(w.path): w for name, w in zip(names, workdirs)}


def common_folds(workdirs: Sequence[Workdir]) -> list[int]:
    """Folds that all have finished.

    Raises:
      UserError: there is none, or the runs are not on one dataset.
    """
    prints = [workdir.config()["inputs"]["dataset_fingerprint"] for workdir in workdirs]
    for workdir, fingerprint in zip(workdirs, prints):
        if fingerprint != prints[0]:
            raise UserError(
                f"{workdir.path}: trained on other data or other folds than {workdirs[0].path}; "
                "only runs on one built dataset can be compared"
            )
    folds = set.intersection(*(set(workdir.require_folds()) for workdir in workdirs))
    if not folds:
        raise UserError("these workdirs have no finished fold in common; train one in each")
    return sorted(folds)


def notes(workdirs: Sequence[Workdir], folds: list[int]) -> list[str]:
    """What the reader of a comparison should know of how the runs differ."""
    result = [
        f"{workdir.path}: folds {sorted(more)} are left out, the others have not finished them"
        for workdir in workdirs
        if (more := set(workdir.finished_folds()) - set(folds))
    ]
    devices = {workdir.config()["device"] for workdir in workdirs}
    if len(devices) > 1:
        result.append(f"training minutes are of other devices: {'; '.join(sorted(devices))}")
    return result


def score_valid(workdirs: Sequence[Workdir], data_dir: str | None) -> bool:
    """Scores `valid` by the runs that have not; False where the dataset has none."""
    for workdir in workdirs:
        if read_valid(workdir):
            continue
        _, dataset = saved_folds.open_data(workdir, data_dir)
        if not dataset.valid:
            return False
        say(f"{workdir.path}: scoring the split valid")
        saved_folds.evaluate(workdir, "valid", data_dir)
    return True


def read(workdir: Workdir, name: str, folds: list[int], with_valid: bool) -> Run:
    """What a run said of the images of the given folds and of `valid`, in order of filenames."""
    held_out_rows = [row for row in workdir.predictions() if row["fold"] in folds]
    held_out_rows.sort(key=lambda row: row["filename"])
    fold, label, probability = (np.array([r[c] for r in held_out_rows]) for c in _COLUMNS)
    chosen = metrics.chosen_threshold(fold, label, probability)
    of_fold = {e["fold"]: e["threshold"] for e in chosen["at_threshold"].get("folds", [])}
    # One fold has no other to choose for it.
    thresholds = np.array([of_fold.get(f, np.nan) for f in fold])
    held_out = Scored(label, probability, thresholds)
    valid = None
    if with_valid:
        rows = read_csv(workdir.path / "valid_predictions.csv")
        rows.sort(key=lambda row: row["filename"])
        # As dftk.evaluate rounds, so that equal means are equal here, too.
        members = np.array([[row[f"fold_{f}"] for f in folds] for row in rows], np.float32)
        threshold = np.full(len(rows), chosen["threshold"]["value"])
        valid = Scored(np.array([row["label"] for row in rows]), members.mean(axis=1), threshold)
    filenames = tuple(row["filename"] for row in held_out_rows)
    return Run(name, workdir, filenames, fold, held_out, valid)


def require_same_images(runs: Sequence[Run]) -> None:
    """Raises UserError where two runs have not held out the same images in the same folds."""
    first = set(zip(runs[0].filenames, runs[0].folds))
    for run in runs[1:]:
        if set(zip(run.filenames, run.folds)) != first:
            raise UserError(
                f"{run.workdir.path}: scored other images than {runs[0].workdir.path} "
                f"({len(run.folds):,} and {len(first):,}); train both with one --max_examples"
            )
