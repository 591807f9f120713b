"""Trains a real-vs-fake face detector by cross-validation.

python -m dftk.train --dataset=sample --workdir=runs/sample
python -m dftk.train --fold=all --mixed_precision --workdir=runs/rvf10k
"""

from collections.abc import Sequence

from absl import flags

from dftk import cli
from dftk.config import parse_folds, resolve

_FOLD = flags.DEFINE_string(
    "fold", "all", "The fold to hold out: all, or indices such as 0 or 0,2."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/dftk", "Folder of the run: config, models, metrics, predictions, report."
)
cli.define_config_flags()
flags.adopt_module_key_flags(cli)  # --help shows them, not only --helpfull


def main(argv: Sequence[str]) -> None:
    """Flags to config to one call."""
    cli.refuse_arguments(argv)
    config = resolve(cli.given_config())
    folds = parse_folds(_FOLD.value, config.folds)

    from dftk.evaluation import report
    from dftk.evaluation.workdir import Workdir
    from dftk.training import crossval

    workdir = Workdir(_WORKDIR.value)
    print(report.text_table(crossval.train(config, folds, workdir)))
    print(f"report: {workdir.path / 'report.html'}")


if __name__ == "__main__":
    cli.run(main)
