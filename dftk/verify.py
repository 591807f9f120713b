"""Checks a built dataset: that every byte of it is intact, and that its folds do not leak.

python -m dftk.verify                                  # rvf10k
python -m dftk.verify --dataset=rvf10k/kfold10
python -m dftk.verify --dataset=~/tensorflow_datasets/rvf10k/kfold5/1.0.0
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli

_DATASET = flags.DEFINE_string(
    "dataset",
    "rvf10k",
    "The dataset, as in dftk.train: rvf10k, rvf10k/CONFIG, the version directory of a dataset that "
    "`tfds build` wrote, or sample if it was built.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Directory of TFDS's datasets; ~/tensorflow_datasets if not given."
)


def main(argv: Sequence[str]) -> int:
    """Verifies the dataset that the flags name; returns 1 if anything is wrong with it."""
    cli.refuse_arguments(argv)

    from dftk.datasets import catalog
    from tfds_rvf10k.verification import verification

    dataset = str(Path(_DATASET.value).expanduser())
    report = verification.verify(catalog.find_folder(dataset, _DATA_DIR.value))
    for fault in report.faults:
        print(f"error: {fault}", file=sys.stderr)
    for note in report.notes:
        cli.note(note)
    print(report.summary())
    return 1 if report.faults else 0


if __name__ == "__main__":
    cli.run(main)
