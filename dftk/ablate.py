"""Ablation: trains runs that differ from a base run in one change each, and compares them.

python -m dftk.ablate --recipe=best --max_examples=2000 --fold=0,1 crop_size=96 decay=plateau

Each argument is a change. It is NAME=VALUE of a flag below, or several of them with commas between,
as in image_size=224,crop_size=112. All runs share the flags that are given as flags. Finished runs
are not trained again. The table is about the changes that are given, so give the whole list.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.training.config import resolve
from dftk.training.execution import parse_folds
from dftk.utils.errors import UsageError

_FOLD = flags.DEFINE_string(
    "fold", "all", "Folds to hold out in every run: all, or indices such as 0 or 0,2."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/ablation", "Folder for the runs' workdirs, ablation.md and comparison.html."
)
cli.define_config_flags()
flags.adopt_module_key_flags(cli)  # --help shows them, not only --helpfull


def main(argv: Sequence[str]) -> None:
    """Makes a config of each change, trains the runs, and prints the table."""
    changes = argv[1:]
    if not changes:
        raise UsageError("give one change or more, such as crop_size=96 decay=plateau")
    given = cli.given_config()
    configs = {"base": resolve(given)}
    for change in changes:
        if change in configs:
            raise UsageError(f"{change}: given twice")
        changed = cli.changed_config(change)
        configs[change] = resolve({**given, **changed}, chosen=changed.keys())
    folds = parse_folds(_FOLD.value, configs["base"].folds)

    from dftk.launch import ablation

    print(ablation.ablate(configs, folds, Path(_WORKDIR.value)))
    print(f"report: {Path(_WORKDIR.value) / 'comparison.html'}")


if __name__ == "__main__":
    cli.run(main)
