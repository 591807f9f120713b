"""What `--model` and `--threshold` name: files of models, their columns, where fake begins."""

import math
from collections.abc import Sequence
from pathlib import Path

from dftk.models.config import THRESHOLD
from dftk.runs import saved_models
from dftk.runs.workdir import Workdir, workdir_of_model
from dftk.utils.errors import UsageError

CHOSEN = "chosen"


def model_files(given: Sequence[str]) -> list[Path]:
    """The models of an ensemble.

    Args:
      given: each a .keras file, a workdir (all its finished folds), or several with commas
        between.

    Raises:
      UsageError: none given, or one of them twice, which would count double.
      UserError: neither a file nor a workdir with a finished fold.
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
        # A path with a comma in it is one path.
        names += [text] if Path(text).exists() else text.split(",")
    return [name for name in names if name]


def column_names(files: Sequence[Path]) -> list[str]:
    """A name for each model, as short as tells them apart: fold_0, or the path."""
    short = [file.parent.name if file.name == "model.keras" else file.stem for file in files]
    return short if len(set(short)) == len(short) and all(short) else [str(file) for file in files]


def threshold(text: str | None, given: Sequence[str]) -> tuple[float, str]:
    """Where fake begins, and in words where that is from.

    Args:
      text: a number in [0, 1]; "chosen": what the run's own held-out predictions chose; None: that
        where there is one run that chose, else THRESHOLD.
      given: as model_files takes it.

    Raises:
      UsageError: no such number, or none was chosen.
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
            f"--threshold={CHOSEN}: it is of one run; give one workdir as --model, or a number"
        )
    raise UsageError(
        f"--threshold={CHOSEN}: {workdir.path}/metrics.json holds none; train the run to its end, "
        "or give a number"
    )


def _one_run(given: Sequence[str]) -> Workdir | None:
    """The workdir that is given, or that the one model file lies in."""
    names = _names(given)
    if len(names) != 1:
        return None
    path = Path(names[0])
    if path.is_dir():
        return Workdir(path)
    part = workdir_of_model(path)
    return part[0] if part else None
