"""Which models to export, and what goes with them as JSON: contract, threshold, provenance."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.exports import formats, staging
from dftk.models.config import THRESHOLD
from dftk.runs.environment import environment
from dftk.runs.workdir import Workdir, workdir_of_model
from dftk.utils.errors import UsageError, UserError


@dataclasses.dataclass(frozen=True)
class Source:
    """The models to export as one, with a fold for each; and the run they are of, if any."""

    paths: Sequence[Path]
    workdir: Workdir | None
    folds: Sequence[int]

    def in_words(self) -> str:
        """What the export will be."""
        if not self.folds:
            return "the model"
        if len(self.folds) == 1:
            return f"the model of fold {self.folds[0]}"
        return f"the mean of folds {', '.join(map(str, self.folds))}"


def find_source(model: Path, fold: int | None) -> Source:
    """A workdir's finished folds, one of them, or a file, which may lie in a workdir.

    Raises:
      UserError: no workdir, or not with such a fold; a file is looked for when it is loaded.
      UsageError: a fold of a file.
    """
    if not model.is_dir():
        if fold is not None:
            raise UsageError(f"--fold={fold}: --model={model} is no workdir; give the run's folder")
        part = workdir_of_model(model)
        return Source([model], part[0], [part[1]]) if part else Source([model], None, [])
    workdir = Workdir(model)
    workdir.config()  # complains if this is no workdir
    folds = workdir.require_folds()
    if fold is not None and fold not in folds:
        raise UserError(f"--fold={fold}: not finished in {model}; its finished folds are {folds}")
    chosen = folds if fold is None else [fold]
    return Source([workdir.model_path(f) for f in chosen], workdir, chosen)


def threshold(workdir: Workdir | None) -> dict[str, Any]:
    """value, and source in words: the run's metrics.json, or THRESHOLD where it names none."""
    if workdir and (chosen := workdir.chosen_threshold()) is not None:
        return {"value": chosen, "source": "the run's metrics.json"}
    return {"value": THRESHOLD, "source": "dftk's default"}


def contract(kind: str) -> dict[str, Any]:
    """What goes in and what comes out, for who writes a client."""
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
    source: Source, kind: str, path: Path, name: str, compared: Mapping[str, Any]
) -> dict[str, Any]:
    """All of it.

    Args:
      source: the models.
      kind: of format.
      path: where the export lies now.
      name: of the file, once it is in place.
      compared: how it compares with Keras.
    """
    return {
        "format": kind,
        "model": source.in_words(),
        **contract(kind),
        "classes": {"0": "real", "1": "fake"},
        "threshold": {**threshold(source.workdir), "rule": "fake when probability >= value"},
        "compared": compared,
        "provenance": _provenance(source, kind),
        "sha256": staging.digests(path, name),
    }


def _provenance(source: Source, kind: str) -> dict[str, Any]:
    record = source.workdir.config() if source.workdir else {}
    members = [{"path": str(path), **staging.digests(path, "sha256")} for path in source.paths]
    kept = ("inputs", "config", "versions", "git_revision")
    here = environment("CPU")
    packages = {name: importlib.metadata.version(name) for name in formats.FORMATS[kind].packages}
    return {
        "folds": list(source.folds),
        "members": members,
        "run": {name: record.get(name) for name in kept},
        "exported_with": {**here["versions"], **packages, "git_revision": here["git_revision"]},
    }
