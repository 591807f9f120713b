"""What a model was trained on and how often it errs, as far as its workdir tells."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.pages.model_card import limits_of
from dftk.evaluation.stats import closed_form
from dftk.models.config import THRESHOLD
from dftk.runs.results import read_valid
from dftk.runs.workdir import Workdir, workdir_of_model
from dftk.utils.files import read_csv


@dataclasses.dataclass(frozen=True)
class Rate:
    """Errors among n images of one class, with the 95 % interval of Wilson's score."""

    errors: int
    n: int

    def as_dict(self) -> dict[str, Any]:
        """errors, n, rate and interval; the last two None where n is 0."""
        if not self.n:
            return {"errors": 0, "n": 0, "rate": None, "interval": None}
        return {
            "errors": self.errors,
            "n": self.n,
            "rate": self.errors / self.n,
            "interval": list(closed_form.proportion_interval(self.errors, self.n)),
        }


@dataclasses.dataclass(frozen=True)
class Measured:
    """Probabilities that were measured on images with known labels.

    labels: int [n], 0 real, 1 fake; probabilities: float [n], of fake; images: what they are, in
    words.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    images: str

    def real_called_fake(self, threshold: float) -> Rate:
        """False positives at the threshold."""
        real = self.probabilities[self.labels == 0]
        return Rate(int((real >= threshold).sum()), len(real))

    def fakes_missed(self, threshold: float) -> Rate:
        """False negatives at the threshold."""
        fake = self.probabilities[self.labels == 1]
        return Rate(int((fake < threshold).sum()), len(fake))


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where a detector comes from; whatever is not recorded is None or "not recorded"."""

    name: str  # for people; no path of this machine in it
    trained_on: str
    limits: str
    threshold: float
    threshold_source: str
    measured: Measured | None
    measured_note: str  # what the numbers are of, or why there are none
    record: Mapping[str, Any]

    def as_dict(self, threshold: float) -> dict[str, Any]:
        """For JSON: all of it, with the error rates at `threshold`."""
        measured = self.measured
        return {
            "model": self.name,
            "trained_on": self.trained_on,
            "threshold": threshold,
            "threshold_source": self.threshold_source,
            "real_called_fake": measured and measured.real_called_fake(threshold).as_dict(),
            "fakes_missed": measured and measured.fakes_missed(threshold).as_dict(),
            "measured_on": self.measured_note,
            "limits": self.limits,
            **self.record,
        }


def read(model: Path, threshold: float | None) -> Provenance:
    """Reads what is known of a workdir, or of a model file that lies in one.

    Args:
      model: as `scoring.model_paths` takes it.
      threshold: what the user chose; None is the workdir's, or 0.5 if it has none.

    Raises:
      UserError: a workdir whose files cannot be read.
    """
    if model.is_dir():
        workdir, fold = Workdir(model), None
    elif part := workdir_of_model(model.resolve()):
        workdir, fold = part
    else:
        value, source = _threshold(threshold, None)
        note = "not known: the model file does not lie in a workdir of dftk.train"
        return Provenance(
            model.name, "not recorded", limits_of(None), value, source, None, note, {}
        )
    config = workdir.config()
    folds = workdir.require_folds() if fold is None else [fold]
    value, source = _threshold(threshold, workdir.chosen_threshold())
    measured, note = _measured(workdir, folds, fold)
    dataset = str(config["inputs"]["dataset"])
    return Provenance(
        name=f"{workdir.path.resolve().name}, fold{'s' * (len(folds) > 1)} "
        + ", ".join(map(str, folds)),
        trained_on=_trained_on(workdir, config, dataset),
        limits=limits_of(dataset),
        threshold=value,
        threshold_source=source,
        measured=measured,
        measured_note=note,
        record={name: config.get(name) for name in ("versions", "git_revision")},
    )


def _threshold(given: float | None, chosen: float | None) -> tuple[float, str]:
    if given is not None:
        return given, "given with --threshold"
    if chosen is not None:
        return chosen, "chosen by the run on its held-out folds (metrics.json)"
    return THRESHOLD, "the default: the run has chosen none"


def _measured(
    workdir: Workdir, folds: Sequence[int], only: int | None
) -> tuple[Measured | None, str]:
    """From `valid` if these very models were scored on it, else from the held-out folds."""
    valid = workdir.path / "valid_predictions.csv"
    if read_valid(workdir):
        rows = read_csv(valid)
        scored = {name for name in rows[0] if name.startswith("fold_")} if rows else set()
        column = "probability" if only is None else f"fold_{only}"
        exact = scored == {f"fold_{fold}" for fold in folds} if only is None else column in scored
        if exact:
            note = "the valid split, which had no part in training"
            return _take(rows, column, note), note
    rows = [row for fold in folds if workdir.is_finished(fold)
            for row in read_csv(workdir.fold_dir(fold) / "predictions.csv")]  # fmt: skip
    if not rows:
        return None, "not measured: this fold is not finished"
    note = (
        "the held-out images of its folds, each by the one model that was not trained on it (whose "
        "epoch, and the run's threshold, were chosen on them: expect a little worse); "
        "dftk.evaluate --split=valid measures on images without any part in it"
    )
    return _take(rows, "probability", note), note


def _take(rows: Sequence[Mapping[str, Any]], column: str, images: str) -> Measured:
    labels = np.array([row["label"] for row in rows])
    return Measured(labels, np.array([row[column] for row in rows], np.float32), images)


def _trained_on(workdir: Workdir, config: Mapping[str, Any], dataset: str) -> str:
    settings, folds = config["config"], workdir.finished_folds()
    text = f"{dataset}, seen at {settings['image_size']} pixels"
    if len(folds) == settings["folds"]:
        count = len(workdir.predictions())
        return f"{text}; {count:,} images in {len(folds)} folds, each model on all but one"
    if settings["max_examples"]:
        text += f"; at most {settings['max_examples']:,} of its images"
    return f"{text}; models of {len(folds)} of its {settings['folds']} folds"
