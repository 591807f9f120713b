"""Which choice bought it: trains runs that differ from one in a single choice, and compares them.

python -m dftk.ablate --recipe=best --max_examples=2000 --fold=0,1 crop_size=96 decay=plateau

Each argument is a change: NAME=VALUE of a flag below, or several with commas between, as in
image_size=224,crop_size=112. All runs share the other flags: folds, seed, epochs. Finished ones are
not trained again: give the whole list each time, the table is of its changes.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.training.config import resolve
from dftk.training.execution import parse_folds
from dftk.utils.errors import UsageError

_FOLD = flags.DEFINE_string("fold", "all", "Folds to hold out: all, or indices such as 0 or 0,2.")
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/ablation", "Folder of the runs' workdirs, ablation.md and comparison.html."
)
cli.define_config_flags()
flags.adopt_module_key_flags(cli)  # --help shows them, not only --helpfull


def main(argv: Sequence[str]) -> None:
    """Flags and changes to configs to one call."""
    changes = argv[1:]
    if not changes:
        raise UsageError("give a change or more, such as crop_size=96 decay=plateau")
    given = cli.given_config()
    configs = {"base": resolve(given)}
    for change in changes:
        if change in configs:
            raise UsageError(f"{change}: given twice")
        configs[change] = resolve({**given, **cli.changed_config(change)})
    folds = parse_folds(_FOLD.value, configs["base"].folds)

    from dftk.launch import ablation

    print(ablation.ablate(configs, folds, Path(_WORKDIR.value)))
    print(f"report: {Path(_WORKDIR.value) / 'comparison.html'}")


if __name__ == "__main__":
    cli.run(main)
