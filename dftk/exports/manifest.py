"""Finds the models to export, and describes an export as JSON."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.exports import formats, output_files
from dftk.models.config import THRESHOLD
from dftk.runs.environment import environment
from dftk.runs.workdir import Workdir, workdir_of_model
from dftk.utils.errors import UsageError, UserError


@dataclasses.dataclass(frozen=True)
class ExportedModels:
    """The models that are exported as one."""

    paths: Sequence[Path]
    workdir: Workdir | None  # of the run that trained them, if any
    folds: Sequence[int]  # of each path; empty without a workdir

    def in_words(self) -> str:
        """What the export computes, for people."""
        if not self.folds:
            return "the model"
        if len(self.folds) == 1:
            return f"the model of fold {self.folds[0]}"
        return f"the mean of folds {', '.join(map(str, self.folds))}"


def find_models(model: Path, fold: int | None) -> ExportedModels:
    """Finds the models of --model and --fold.

    Args:
      model: a workdir, or a model file, which may lie in a workdir.
      fold: of a workdir; None is all finished folds.

    Raises:
      UserError: the workdir is none, or has no such fold. Whether a model file exists is checked
        when it is loaded.
      UsageError: a fold is given with a model file.
    """
    if not model.is_dir():
        if fold is not None:
            raise UsageError(f"--fold={fold}: --model={model} is no workdir; give the run's folder")
        found = workdir_of_model(model)
        if not found:
            return ExportedModels([model], None, [])
        return ExportedModels([model], found[0], [found[1]])
    workdir = Workdir(model)
    workdir.config()  # complains if this is no workdir
    folds = workdir.require_folds()
    if fold is not None and fold not in folds:
        raise UserError(f"--fold={fold}: not finished in {model}; its finished folds are {folds}")
    chosen = folds if fold is None else [fold]
    return ExportedModels([workdir.model_path(f) for f in chosen], workdir, chosen)


def threshold(workdir: Workdir | None) -> dict[str, Any]:
    """For JSON: the threshold that the run chose, otherwise THRESHOLD, and where it comes from."""
    if workdir and (chosen := workdir.chosen_threshold()) is not None:
        return {"value": chosen, "source": "the run's metrics.json"}
    return {"value": THRESHOLD, "source": "dftk's default"}


def inputs_and_output(kind: str) -> dict[str, Any]:
    """For JSON: names, dtypes and shapes of inputs and output, for the author of a client."""
    image: dict[str, Any] = {
        "name": "image",
        "dtype": "uint8",
        "shape": ["batch", "height", "width", 3],
        "content": "RGB, 0 to 255, of any height and width; resized inside",
    }
    inputs = {"serving_default": image}
    if kind == "saved_model":
        content = "JPEG files of any sizes, decoded as in training; EXIF orientation is ignored"
        jpeg = {"name": "jpeg", "dtype": "string", "shape": ["batch"], "content": content}
        inputs["serving_bytes"] = jpeg
    output = {"name": "probability", "dtype": "float32", "shape": ["batch", 1]}
    return {"inputs": inputs, "output": {**output, "content": "probability of fake"}}


def describe(
    models: ExportedModels, kind: str, path: Path, name: str, compared: Mapping[str, Any]
) -> dict[str, Any]:
    """Describes an export, for JSON.

    Args:
      models: that are exported.
      kind: a key of formats.FORMATS.
      path: of the export, before it takes its place.
      name: of the file, once it is in its place.
      compared: the comparison with Keras.
    """
    return {
        "format": kind,
        "model": models.in_words(),
        **inputs_and_output(kind),
        "classes": {"0": "real", "1": "fake"},
        "threshold": {**threshold(models.workdir), "rule": "fake when probability >= value"},
        "compared": compared,
        "provenance": _provenance(models, kind),
        "sha256": output_files.digests(path, name),
    }


def _provenance(models: ExportedModels, kind: str) -> dict[str, Any]:
    record = models.workdir.config() if models.workdir else {}
    members = [{"path": str(path), **output_files.digests(path, "sha256")} for path in models.paths]
    recorded = ("inputs", "config", "versions", "git_revision")
    here = environment("CPU")
    packages = {name: importlib.metadata.version(name) for name in formats.FORMATS[kind].packages}
    return {
        "folds": list(models.folds),
        "members": members,
        "run": {name: record.get(name) for name in recorded},
        "exported_with": {**here["versions"], **packages, "git_revision": here["git_revision"]},
    }
