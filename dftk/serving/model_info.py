"""What a model was trained on and how often it errs, as far as its workdir records it."""

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
class ErrorRate:
    """The number of errors among n images of one class."""

    errors: int
    n: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON; with the rate and its 95 % interval by Wilson's score, both None if n is 0."""
        if not self.n:
            return {"errors": 0, "n": 0, "rate": None, "interval": None}
        return {
            "errors": self.errors,
            "n": self.n,
            "rate": self.errors / self.n,
            "interval": list(closed_form.proportion_interval(self.errors, self.n)),
        }


@dataclasses.dataclass(frozen=True)
class LabeledPredictions:
    """Predictions for images whose labels are known."""

    labels: np.ndarray  # int [n]: 0 real, 1 fake
    probabilities: np.ndarray  # float32 [n], of fake

    def real_called_fake(self, threshold: float) -> ErrorRate:
        """False positives at the threshold."""
        real = self.probabilities[self.labels == 0]
        return ErrorRate(int((real >= threshold).sum()), len(real))

    def fakes_missed(self, threshold: float) -> ErrorRate:
        """False negatives at the threshold."""
        fake = self.probabilities[self.labels == 1]
        return ErrorRate(int((fake < threshold).sum()), len(fake))


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What the page says of a detector; None or "not recorded" where the workdir has no record."""

    name: str  # without the path on this machine
    trained_on: str
    limits: str
    threshold: float
    threshold_source: str
    predictions: LabeledPredictions | None  # that the error rates are computed from
    measured_on: str  # which images these are, or why there are none
    record: Mapping[str, Any]  # versions, git_revision

    def as_dict(self, threshold: float) -> dict[str, Any]:
        """For JSON, with the error rates at a threshold."""
        predictions = self.predictions
        return {
            "model": self.name,
            "trained_on": self.trained_on,
            "threshold": threshold,
            "threshold_source": self.threshold_source,
            "real_called_fake": predictions and predictions.real_called_fake(threshold).as_dict(),
            "fakes_missed": predictions and predictions.fakes_missed(threshold).as_dict(),
            "measured_on": self.measured_on,
            "limits": self.limits,
            **self.record,
        }


def read(model: Path, threshold: float | None) -> ModelInfo:
    """Reads what a workdir records of its models, or of one model file in it.

    Args:
      model: a workdir, or a .keras file.
      threshold: given by the user; None takes the one that the run chose, or 0.5.

    Raises:
      UserError: a file of the workdir cannot be read.
    """
    if model.is_dir():
        workdir, fold = Workdir(model), None
    elif found := workdir_of_model(model.resolve()):
        workdir, fold = found
    else:
        value, source = _threshold(threshold, None)
        return ModelInfo(
            name=model.name,
            trained_on="not recorded",
            limits=limits_of(None),
            threshold=value,
            threshold_source=source,
            predictions=None,
            measured_on="not known: the model file does not lie in a workdir of dftk.train",
            record={},
        )
    config = workdir.config()
    folds = workdir.require_folds() if fold is None else [fold]
    value, source = _threshold(threshold, workdir.chosen_threshold())
    predictions, measured_on = _predictions(workdir, folds, fold)
    dataset = str(config["inputs"]["dataset"])
    return ModelInfo(
        name=f"{workdir.path.resolve().name}, fold{'s' * (len(folds) > 1)} "
        + ", ".join(map(str, folds)),
        trained_on=_trained_on(workdir, config, dataset),
        limits=limits_of(dataset),
        threshold=value,
        threshold_source=source,
        predictions=predictions,
        measured_on=measured_on,
        record={name: config.get(name) for name in ("versions", "git_revision")},
    )


def _threshold(given: float | None, chosen: float | None) -> tuple[float, str]:
    if given is not None:
        return given, "given with --threshold"
    if chosen is not None:
        return chosen, "chosen by the run on its held-out folds (metrics.json)"
    return THRESHOLD, "the default, as the run has chosen none"


def _predictions(
    workdir: Workdir, folds: Sequence[int], only: int | None
) -> tuple[LabeledPredictions | None, str]:
    """Reads those on `valid` if exactly these models were scored on it, else the held-out ones.

    Returns:
      the predictions, and in words which images they are of, or why there are none.
    """
    valid = workdir.path / "valid_predictions.csv"
    if read_valid(workdir):
        rows = read_csv(valid)
        scored = {name for name in rows[0] if name.startswith("fold_")} if rows else set()
        column = "probability" if only is None else f"fold_{only}"
        exact = scored == {f"fold_{fold}" for fold in folds} if only is None else column in scored
        if exact:
            return _labeled(rows, column), "the valid split, which had no part in training"
    rows = [row for fold in folds if workdir.is_finished(fold)
            for row in read_csv(workdir.fold_dir(fold) / "predictions.csv")]  # fmt: skip
    if not rows:
        return None, "not measured: this fold is not finished"
    note = (
        "the held-out images of its folds, each scored by the model that was not trained on it. "
        "The epoch of that model and the run's threshold were chosen on these images, so expect "
        "slightly more errors; dftk.evaluate --split=valid measures on images that chose nothing"
    )
    return _labeled(rows, "probability"), note


def _labeled(rows: Sequence[Mapping[str, Any]], column: str) -> LabeledPredictions:
    labels = np.array([row["label"] for row in rows])
    return LabeledPredictions(labels, np.array([row[column] for row in rows], np.float32))


def _trained_on(workdir: Workdir, config: Mapping[str, Any], dataset: str) -> str:
    settings, folds = config["config"], workdir.finished_folds()
    text = f"{dataset}, seen at {settings['image_size']} pixels"
    if len(folds) == settings["folds"]:
        count = len(workdir.predictions())
        return f"{text}; {count:,} images in {len(folds)} folds, each model on all but one"
    if settings["max_examples"]:
        text += f"; at most {settings['max_examples']:,} of its images"
    return f"{text}; models of {len(folds)} of its {settings['folds']} folds"
