"""Scores the saved folds of a workdir again, and asks how far the scores can be trusted.

python -m dftk.evaluate --workdir=runs/sample --split=valid                # on the untouched split
python -m dftk.evaluate --workdir=runs/sample --dataset=DIR                # DIR/real/, DIR/fake/
python -m dftk.evaluate --workdir=runs/sample --split=valid --robustness   # on changed images
python -m dftk.evaluate --workdir=runs/sample --shortcuts                  # without a look at faces
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from dftk import cli
from dftk.config import UsageError

if TYPE_CHECKING:
    from dftk.evaluation.workdir import Workdir

_WORKDIR = flags.DEFINE_string("workdir", "runs/dftk", "Folder of the run, as dftk.train's.")
_SPLIT = flags.DEFINE_enum(
    "split",
    "valid",
    ["valid", "train"],
    "valid: every fold's model and their ensemble on the images no fold has seen, added to the "
    "report, with slices and the most wrong images. train: every model on the fold it was not "
    "trained on, which gives metrics.json again.",
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Instead of a split, a directory with real/ and fake/ in it, images of any size at any depth "
    "below these: written to tests/NAME of the workdir. Status 1 if a file is broken; the others "
    "are scored.",
)
_NAME = flags.DEFINE_string("name", None, "NAME of --dataset; its directory's if not given.")
_ROBUSTNESS = flags.DEFINE_bool(
    "robustness",
    False,
    "The ensemble on images of valid that were compressed, shrunk, blurred, made noisy or cropped: "
    "robustness.json and a picture.",
)
_SHORTCUTS = flags.DEFINE_bool(
    "shortcuts",
    False,
    "Whether the training files (or those of --dataset) can be told apart by size, compression, "
    "metadata or mean colour alone, by small classifiers over the run's folds: shortcuts.json and "
    "a picture. Needs no model.",
)
_MAX_IMAGES = flags.DEFINE_integer(
    "max_images", None, "Of --robustness and --shortcuts: at most this many, spread evenly.", 1
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps datasets, if not the run's.")


def main(argv: Sequence[str]) -> int:
    """Flags to one call."""
    cli.refuse_arguments(argv)
    _refuse_contradictions()

    from dftk.evaluation.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    workdir.config()  # complains at once, before TensorFlow is loaded
    if _ROBUSTNESS.value:
        return _robustness(workdir)
    if _SHORTCUTS.value:
        return _shortcuts(workdir)
    if _DATASET.value is not None:
        return _dataset(workdir, Path(_DATASET.value))
    return _split(workdir)


def _refuse_contradictions() -> None:
    given_split = cli.FLAGS["split"].present
    if _DATASET.value is not None and given_split:
        raise UsageError("--dataset and --split: give one of them")
    if _ROBUSTNESS.value and (_SHORTCUTS.value or _DATASET.value or _SPLIT.value != "valid"):
        raise UsageError("--robustness: is of --split=valid, without --shortcuts and --dataset")
    if _SHORTCUTS.value and given_split:
        raise UsageError("--shortcuts: is of the training files or of --dataset, not of --split")
    if _NAME.value is not None and _DATASET.value is None:
        raise UsageError(f"--name={_NAME.value}: is the name of --dataset, which is not given")
    if _MAX_IMAGES.value is not None and not (_ROBUSTNESS.value or _SHORTCUTS.value):
        raise UsageError(f"--max_images={_MAX_IMAGES.value}: is of --robustness and --shortcuts")
    if _MAX_IMAGES.value is not None and _DATASET.value is not None:
        raise UsageError(f"--max_images={_MAX_IMAGES.value}: a --dataset is read whole")


def _split(workdir: "Workdir") -> int:
    from dftk.evaluation import report, saved_folds

    result = saved_folds.evaluate(workdir, _SPLIT.value, _DATA_DIR.value)
    print(report.text_table(result))
    if shortfall := result.get("shortfall"):
        cli.note(shortfall)
    if _SPLIT.value == "valid":
        print(f"report: {workdir.path / 'report.html'}")
    return 0


def _dataset(workdir: "Workdir", path: Path) -> int:
    from dftk.evaluation import audits, report

    result = audits.score_folder(workdir, path, _NAME.value, _DATA_DIR.value)
    print(report.text_table(result))
    for entry in result["broken"]:
        print(f"error: {entry['filename']}: {entry['error']}", file=sys.stderr)
    for note in result["notes"]:
        cli.note(note)
    print(f"written: {result['folder']}")
    return 1 if result["broken"] else 0


def _robustness(workdir: "Workdir") -> int:
    from dftk.evaluation import audits

    result = audits.sweep_robustness(workdir, _DATA_DIR.value, _MAX_IMAGES.value)
    print(audits.robustness_lines(result))
    print(f"written: {workdir.path / 'robustness.json'}")
    return 0


def _shortcuts(workdir: "Workdir") -> int:
    from dftk.evaluation import audits

    path = Path(_DATASET.value) if _DATASET.value is not None else None
    result = audits.find_shortcuts(workdir, path, _NAME.value, _DATA_DIR.value, _MAX_IMAGES.value)
    print(audits.shortcut_lines(result))
    return 0


if __name__ == "__main__":
    cli.run(main)
