"""Resolves `--model` and `--threshold`: the files of the models, their names, the threshold."""

import math
from collections.abc import Sequence
from pathlib import Path

from dftk.models.config import THRESHOLD
from dftk.runs import saved_models
from dftk.runs.workdir import Workdir, workdir_of_model
from dftk.utils.errors import UsageError

CHOSEN = "chosen"


def model_files(given: Sequence[str]) -> list[Path]:
    """Lists the model files of an ensemble.

    Args:
      given: the values of --model. Each is a .keras file, a workdir (all its finished folds), or
        several of them with commas between.

    Raises:
      UsageError: no model is given, or one is given twice, which would count it double.
      UserError: one is neither a file nor a workdir with a finished fold.
    """
    files = [path for name in _names(given) for path in saved_models.model_paths(Path(name))]
    if not files:
        raise UsageError("--model: give a model.keras file or a workdir of dftk.train")
    seen: set[Path] = set()
    for file in files:
        if (real := file.resolve()) in seen:
            raise UsageError(f"--model: {file} is given twice; give each model once")
        seen.add(real)
    return files


def _names(given: Sequence[str]) -> list[str]:
    names: list[str] = []
    for text in given:
        # A file whose name has a comma in it is one file.
        names += [text] if Path(text).exists() else text.split(",")
    return [name for name in names if name]


def column_names(files: Sequence[Path]) -> list[str]:
    """Names the column of each model: fold_0 or the like if that is unique, otherwise the path."""
    short = [file.parent.name if file.name == "model.keras" else file.stem for file in files]
    return short if len(set(short)) == len(short) and all(short) else [str(file) for file in files]


def threshold(text: str | None, given: Sequence[str]) -> tuple[float, str]:
    """Finds the probability from which on an image counts as fake.

    Args:
      text: a number in [0, 1]; or "chosen", for the one that the run chose on its held-out
        predictions; or None, for that one if there is one, otherwise THRESHOLD.
      given: the values of --model, as for `model_files`.

    Returns:
      the threshold, and where it comes from in words.

    Raises:
      UsageError: the text is no such number, or no threshold was chosen.
    """
    if text is not None and text != CHOSEN:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise UsageError(f"--threshold={text}: give a number from 0 to 1, or {CHOSEN}")
        return value, "given"
    workdir = _one_run(given)
    if workdir and (chosen := workdir.chosen_threshold()) is not None:
        return chosen, "chosen by the run on its held-out folds"
    if text is None:
        return THRESHOLD, "the default: no run that chose one"
    if workdir is None:
        raise UsageError(
            f"--threshold={CHOSEN}: only a run has one; give one workdir as --model, or a number"
        )
    raise UsageError(
        f"--threshold={CHOSEN}: {workdir.path}/metrics.json holds none; train the run to its end, "
        "or give a number"
    )


def _one_run(given: Sequence[str]) -> Workdir | None:
    """Returns the one workdir that is given, or that the one given model file lies in."""
    names = _names(given)
    if len(names) != 1:
        return None
    path = Path(names[0])
    if path.is_dir():
        return Workdir(path)
    found = workdir_of_model(path)
    return found[0] if found else None
