"""Scores the saved models of a workdir, and checks how far the scores can be trusted.

python -m dftk.evaluate --workdir=runs/sample --split=valid                # the untouched split
python -m dftk.evaluate --workdir=runs/sample --dataset=DIR,DIR            # DIR/real/, DIR/fake/
python -m dftk.evaluate --workdir=runs/sample --split=valid --robustness   # perturbed images
python -m dftk.evaluate --workdir=runs/sample --shortcuts                  # features of the files
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from dftk import cli
from dftk.utils.errors import UsageError

if TYPE_CHECKING:
    from dftk.runs.workdir import Workdir

_WORKDIR = flags.DEFINE_string("workdir", "runs/dftk", "Folder of the run, as given to dftk.train.")
_SPLIT = flags.DEFINE_enum(
    "split",
    "valid",
    ["valid", "train"],
    "valid: score each fold's model and their ensemble on the untouched images, and add scores, "
    "slices and most wrong images to the report. train: score each model on the fold that it was "
    "not trained on, which gives metrics.json again.",
)
_DATASET = flags.DEFINE_list(
    "dataset",
    None,
    "Instead of a split: directories that contain real/ and fake/, with images of any size at any "
    "depth. The scores of each are written to tests/NAME of the workdir and compared in the "
    "report, with warnings about training images among them and about shortcuts. The exit status "
    "is 1 if a file is broken; all others are scored.",
)
_NAME = flags.DEFINE_list(
    "name", None, "NAME of each --dataset, in the same order. Default: the directories' names."
)
_ROBUSTNESS = flags.DEFINE_bool(
    "robustness",
    False,
    "Score the ensemble on compressed, rescaled, blurred, noisy and cropped images of valid. "
    "Writes robustness.json and a figure.",
)
_SHORTCUTS = flags.DEFINE_bool(
    "shortcuts",
    False,
    "Test whether small classifiers can tell the classes of the training files apart by size, "
    "compression, metadata or mean colour alone. Writes shortcuts.json and a figure. Needs no "
    "model. (Each --dataset is always tested.)",
)
_MAX_IMAGES = flags.DEFINE_integer(
    "max_images",
    None,
    "The largest number of images for --robustness and --shortcuts, spread evenly over the data.",
    1,
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "TFDS's directory of datasets, if it is not the run's."
)


def main(argv: Sequence[str]) -> int:
    """Runs the evaluation that the flags ask for."""
    cli.refuse_arguments(argv)
    _refuse_conflicting_flags()

    from dftk.runs.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    workdir.config()  # raises early, before TensorFlow is loaded
    if _ROBUSTNESS.value:
        return _robustness(workdir)
    if _SHORTCUTS.value:
        return _shortcuts(workdir)
    if _DATASET.value is not None:
        return _dataset(workdir)
    return _split(workdir)


def _refuse_conflicting_flags() -> None:
    given_split = cli.FLAGS["split"].present
    if _DATASET.value is not None and given_split:
        raise UsageError("--dataset and --split: give only one of them")
    if _ROBUSTNESS.value and (_SHORTCUTS.value or _DATASET.value or _SPLIT.value != "valid"):
        raise UsageError(
            "--robustness: only works with --split=valid, without --shortcuts and --dataset"
        )
    if _SHORTCUTS.value and (given_split or _DATASET.value is not None):
        raise UsageError("--shortcuts: tests the training files; give no --split and no --dataset")
    if _NAME.value is not None and _DATASET.value is None:
        name = ",".join(_NAME.value)
        raise UsageError(f"--name={name}: names a --dataset, which is not given")
    if _MAX_IMAGES.value is not None and not (_ROBUSTNESS.value or _SHORTCUTS.value):
        raise UsageError(
            f"--max_images={_MAX_IMAGES.value}: only works with --robustness or --shortcuts"
        )


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
