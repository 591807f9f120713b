"""Reads the predictions of the runs to compare, and checks that they are of the same images."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dftk.evaluation import saved_folds
from dftk.evaluation.stats import metrics
from dftk.models.config import THRESHOLD
from dftk.runs.results import VALID_PREDICTIONS, read_valid
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.files import columns, read_csv
from dftk.utils.progress import say


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A run's predictions on one set of images, in the order of their filenames."""

    labels: np.ndarray  # int [n]
    probabilities: np.ndarray  # float [n]
    thresholds: np.ndarray  # float [n], the run's chosen threshold for each image

    def correct(self, at_chosen: bool) -> np.ndarray:
        """Whether each decision is correct, bool [n].

        Args:
          at_chosen: decide at the chosen thresholds instead of 0.5.
        """
        threshold = self.thresholds if at_chosen else THRESHOLD
        return (self.probabilities >= threshold) == (self.labels == 1)


@dataclasses.dataclass(frozen=True)
class Run:
    """The predictions of one run."""

    name: str
    workdir: Workdir
    filenames: tuple[str, ...]  # [n], of held_out
    folds: np.ndarray  # int [n], of held_out
    held_out: Predictions
    valid: Predictions | None


def unique_names(workdirs: Sequence[Workdir]) -> dict[str, Workdir]:
    """Workdirs by the names of their folders; by their paths if two names are equal."""
    names = [workdir.path.resolve().name for workdir in workdirs]
    unique = len(set(names)) == len(names)
    return {name if unique else str(w.path): w for name, w in zip(names, workdirs)}


def common_folds(workdirs: Sequence[Workdir]) -> list[int]:
    """The folds that all runs have finished.

    Raises:
      UserError: there is none, or the runs were not trained on one dataset.
    """
    fingerprints = [workdir.config()["inputs"]["dataset_fingerprint"] for workdir in workdirs]
    for workdir, fingerprint in zip(workdirs, fingerprints):
        if fingerprint != fingerprints[0]:
            raise UserError(
                f"{workdir.path}: trained on other data or other folds than {workdirs[0].path}; "
                "only runs on one built dataset can be compared"
            )
    folds = set.intersection(*(set(workdir.require_folds()) for workdir in workdirs))
    if not folds:
        raise UserError("these workdirs have no finished fold in common; train one in each")
    return sorted(folds)


def notes(workdirs: Sequence[Workdir], folds: list[int]) -> list[str]:
    """What readers of a comparison should know about how the runs differ."""
    result = [
        f"{workdir.path}: folds {sorted(extra)} are left out, since other runs have not finished "
        "them"
        for workdir in workdirs
        if (extra := set(workdir.finished_folds()) - set(folds))
    ]
    devices = {workdir.config()["device"] for workdir in workdirs}
    if len(devices) > 1:
        result.append(
            f"training minutes were measured on different devices: {'; '.join(sorted(devices))}"
        )
    return result


def score_valid(workdirs: Sequence[Workdir], data_dir: str | None) -> bool:
    """Scores `valid` by the runs that have not done so; returns False if the dataset has none."""
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
    """Reads a run's predictions.

    Args:
      workdir: of the run.
      name: of the run in the comparison.
      folds: to read the held-out predictions of; their models form the ensemble on `valid`.
      with_valid: read the predictions on `valid`, too.
    """
    held_out_rows = [row for row in workdir.predictions() if row["fold"] in folds]
    held_out_rows.sort(key=lambda row: row["filename"])
    fold, label, probability = columns(held_out_rows, "fold", "label", "probability")
    chosen = metrics.chosen_threshold(fold, label, probability)
    by_fold = {e["fold"]: e["threshold"] for e in chosen["at_threshold"].get("folds", [])}
    # A single fold has no other folds that could choose its threshold.
    thresholds = np.array([by_fold.get(f, np.nan) for f in fold])
    held_out = Predictions(label, probability, thresholds)
    valid = None
    if with_valid:
        rows = read_csv(workdir.path / VALID_PREDICTIONS)
        rows.sort(key=lambda row: row["filename"])
        # float32 as in dftk.evaluate, so that the means are rounded equally.
        members = np.array([[row[f"fold_{f}"] for f in folds] for row in rows], np.float32)
        (valid_label,) = columns(rows, "label")
        thresholds = np.full(len(rows), chosen["threshold"]["value"])
        valid = Predictions(valid_label, members.mean(axis=1), thresholds)
    filenames = tuple(row["filename"] for row in held_out_rows)
    return Run(name, workdir, filenames, fold, held_out, valid)


def require_same_images(runs: Sequence[Run]) -> None:
    """Raises UserError if two runs did not hold out the same images in the same folds."""
    first = set(zip(runs[0].filenames, runs[0].folds))
    for run in runs[1:]:
        if set(zip(run.filenames, run.folds)) != first:
            raise UserError(
                f"{run.workdir.path}: scored other images than {runs[0].workdir.path} "
                f"({len(run.folds):,} and {len(first):,}); train both with the same --max_examples"
            )
