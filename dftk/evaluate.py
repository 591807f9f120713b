"""Scores the saved folds of a workdir again, on the untouched `valid` split or on their folds.

python -m dftk.evaluate --workdir=runs/sample --split=valid
"""

from collections.abc import Sequence

from absl import flags

from dftk import cli

_WORKDIR = flags.DEFINE_string("workdir", "runs/dftk", "Folder of the run, as dftk.train's.")
_SPLIT = flags.DEFINE_enum(
    "split",
    "valid",
    ["valid", "train"],
    "valid: every fold's model and their ensemble on the images no fold has seen, added to the "
    "report. train: every model on the fold it was not trained on, which gives metrics.json again.",
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps datasets, if not the run's.")


def main(argv: Sequence[str]) -> None:
    """Flags to one call."""
    cli.refuse_arguments(argv)

    from dftk.evaluation import report, saved_folds
    from dftk.evaluation.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    result = saved_folds.evaluate(workdir, _SPLIT.value, _DATA_DIR.value)
    print(report.text_table(result))
    if shortfall := result.get("shortfall"):
        cli.note(shortfall)
    if _SPLIT.value == "valid":
        print(f"report: {workdir.path / 'report.html'}")


if __name__ == "__main__":
    cli.run(main)
