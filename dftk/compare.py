"""Compares runs on the same held-out folds and the same untouched `valid`.

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
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps datasets, if not the runs'.")
_SPEED = flags.DEFINE_bool(
    "measure_speed",
    True,
    "Run a model of each by turns, on batches of 32 images of 256x256, for images per second.",
)


def main(argv: Sequence[str]) -> None:
    """Workdirs to one call; the first is what the others are compared to."""
    from dftk.runs.workdir import Workdir

    workdirs = [Workdir(path) for path in argv[1:]]
    if len(workdirs) < 2:
        raise UsageError("give two workdirs or more: the first is what the others are compared to")
    for workdir in workdirs:
        workdir.config()  # complains at once, before TensorFlow is loaded

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
