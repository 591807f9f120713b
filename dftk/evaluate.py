"""Scores the saved folds of a workdir again, and asks how far the scores can be trusted.

python -m dftk.evaluate --workdir=runs/sample --split=valid                # on the untouched split
python -m dftk.evaluate --workdir=runs/sample --dataset=DIR,DIR            # DIR/real/, DIR/fake/
python -m dftk.evaluate --workdir=runs/sample --split=valid --robustness   # on changed images
python -m dftk.evaluate --workdir=runs/sample --shortcuts                  # without a look at faces
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from dftk import cli
from dftk.utils.errors import UsageError

if TYPE_CHECKING:
    from dftk.runs.workdir import Workdir

_WORKDIR = flags.DEFINE_string("workdir", "runs/dftk", "Folder of the run, as dftk.train's.")
_SPLIT = flags.DEFINE_enum(
    "split",
    "valid",
    ["valid", "train"],
    "valid: every fold's model and their ensemble on the images no fold has seen, added to the "
    "report, with slices and the most wrong images. train: every model on the fold it was not "
    "trained on, which gives metrics.json again.",
)
_DATASET = flags.DEFINE_list(
    "dataset",
    None,
    "Instead of a split, directories with real/ and fake/ in each, images of any size at any depth "
    "below these: each written to tests/NAME of the workdir, and all side by side in the report, "
    "with warnings of training images among them and of what tells their classes apart in the "
    "files. Status 1 if a file is broken; the others are scored.",
)
_NAME = flags.DEFINE_list(
    "name", None, "NAME of each --dataset, in their order; the directories' if not given."
)
_ROBUSTNESS = flags.DEFINE_bool(
    "robustness",
    False,
    "The ensemble on images of valid that were compressed, shrunk, blurred, made noisy or cropped: "
    "robustness.json and a picture.",
)
_SHORTCUTS = flags.DEFINE_bool(
    "shortcuts",
    False,
    "Whether the training files can be told apart by size, compression, metadata or mean colour "
    "alone, by small classifiers over the run's folds: shortcuts.json and a picture. Needs no "
    "model. (Of a --dataset this is looked at whenever it is scored.)",
)
_MAX_IMAGES = flags.DEFINE_integer(
    "max_images", None, "Of --robustness and --shortcuts: at most this many, spread evenly.", 1
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps datasets, if not the run's.")


def main(argv: Sequence[str]) -> int:
    """Flags to one call."""
    cli.refuse_arguments(argv)
    _refuse_contradictions()

    from dftk.runs.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    workdir.config()  # complains at once, before TensorFlow is loaded
    if _ROBUSTNESS.value:
        return _robustness(workdir)
    if _SHORTCUTS.value:
        return _shortcuts(workdir)
    if _DATASET.value is not None:
        return _dataset(workdir)
    return _split(workdir)


def _refuse_contradictions() -> None:
    given_split = cli.FLAGS["split"].present
    if _DATASET.value is not None and given_split:
        raise UsageError("--dataset and --split: give one of them")
    if _ROBUSTNESS.value and (_SHORTCUTS.value or _DATASET.value or _SPLIT.value != "valid"):
        raise UsageError("--robustness: is of --split=valid, without --shortcuts and --dataset")
    if _SHORTCUTS.value and (given_split or _DATASET.value is not None):
        raise UsageError("--shortcuts: is of the training files, without --split and --dataset")
    if _NAME.value is not None and _DATASET.value is None:
        name = ",".join(_NAME.value)
        raise UsageError(f"--name={name}: is the name of --dataset, which is not given")
    if _MAX_IMAGES.value is not None and not (_ROBUSTNESS.value or _SHORTCUTS.value):
        raise UsageError(f"--max_images={_MAX_IMAGES.value}: is of --robustness and --shortcuts")


def _split(workdir: "Workdir") -> int:
    from dftk.evaluation import saved_folds, terminal

    result = saved_folds.evaluate(workdir, _SPLIT.value, _DATA_DIR.value)
    print(terminal.fold_table(result))
    if shortfall := result.get("shortfall"):
        cli.note(shortfall)
    if _SPLIT.value == "valid":
        print(f"report: {workdir.path / 'report.html'}")
    return 0


def _dataset(workdir: "Workdir") -> int:
    from dftk.evaluation.checks import test_set_folders

    sets = test_set_folders.open_folders(workdir.path, _DATASET.value or [], _NAME.value)
    return cli.score_test_sets(workdir, sets, _DATA_DIR.value)


def _robustness(workdir: "Workdir") -> int:
    from dftk.evaluation import audits, terminal

    result = audits.sweep_robustness(workdir, _DATA_DIR.value, _MAX_IMAGES.value)
    print(terminal.robustness_table(result))
    print(f"written: {workdir.path / 'robustness.json'}")
    return 0


def _shortcuts(workdir: "Workdir") -> int:
    from dftk.evaluation import audits, terminal

    result = audits.find_shortcuts(workdir, _DATA_DIR.value, _MAX_IMAGES.value)
    print(terminal.shortcut_table(result))
    return 0


if __name__ == "__main__":
    cli.run(main)
