"""Compares runs on the same held-out folds and on the same untouched split `valid`.

python -m dftk.compare runs/cnn runs/xception
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.utils.errors import UsageError

_OUTPUT = flags.DEFINE_string(
    "output", "runs/comparison", "Folder for comparison.html, comparison.json and the ROC curves."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "TFDS's directory of datasets, if it is not the runs'."
)
_SPEED = flags.DEFINE_bool(
    "measure_speed",
    True,
    "Measure the images per second of a model of each run, in turns, on 32 images of 256x256.",
)


def main(argv: Sequence[str]) -> None:
    """Compares the first workdir of the command line with each of the others."""
    from dftk.runs.workdir import Workdir

    workdirs = [Workdir(path) for path in argv[1:]]
    if len(workdirs) < 2:
        raise UsageError("give two workdirs or more: the first is compared with each of the others")
    for workdir in workdirs:
        workdir.config()  # raises early, before TensorFlow is loaded

    from dftk.evaluation.comparison import comparison, comparison_page, tables

    content, runs = comparison.compare(workdirs, _DATA_DIR.value, _SPEED.value)
    output = Path(_OUTPUT.value)
    comparison_page.write(output, content, runs)
    print(tables.text(content))
    for note in content["notes"]:
        cli.note(note)
    print(f"report: {output / 'comparison.html'}")


if __name__ == "__main__":
    cli.run(main)
