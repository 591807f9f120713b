"""Says of image files how likely each is fake.

python -m dftk.predict --model=runs/sample photo.jpg folder/

A row for each image on stdout, in the order given, directories walked in sorted order; an error on
stderr for each file that cannot be scored, and then exit status 1. Any number of files in constant
memory. Hidden files are passed over in directories. As in training, EXIF orientation is ignored.
Transparency is, too: a transparent pixel counts with the colour stored under it. BMPs with a
palette are refused.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.models.config import THRESHOLD
from dftk.utils.errors import UsageError

_MODEL = flags.DEFINE_multi_string(
    "model",
    [],
    "A .keras file, or a workdir for the models of all its folds. Give it several times, or names "
    "with commas between, for an ensemble: the mean of the probabilities of all these models, each "
    "fold of a workdir counting as one.",
)
_FORMAT = flags.DEFINE_enum("format", "csv", ["csv", "json"], "Of the rows.")
_THRESHOLD = flags.DEFINE_string(
    "threshold",
    None,
    "Fake when the probability is at least this number; or chosen: what the held-out predictions "
    "of the run chose (metrics.json). Not given: that where --model is one run or a model in one "
    f"that chose, else {THRESHOLD}.",
)
_MEMBERS = flags.DEFINE_bool("members", False, "Adds a column for each model of the ensemble.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "File for the rows, written whole or not at all, in place of stdout."
)
_PLOT = flags.DEFINE_string(
    "plot", None, "Folder for a picture of each image with its verdict, named after its path."
)
_EXPLAIN = flags.DEFINE_string(
    "explain",
    None,
    "Folder for a picture of each image beside its Grad-CAM, where what speaks for fake lies (of "
    "an ensemble the mean of its models' maps). Takes longer than scoring.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    32,
    "Images of a forward pass, of any sizes. On a CPU 64 were no faster than 32; a GPU may want "
    "more.",
    1,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    2**26,
    "A file whose header says more pixels is refused before it is decoded. At the default an image "
    "takes about 1 GB, and no two as large are decoded at once.",
    1,
)


def main(argv: Sequence[str]) -> int:
    """Flags to one call; rows to stdout, errors to stderr."""
    if not _MODEL.value:
        raise UsageError("--model: give a model.keras file or a workdir of dftk.train")
    if len(argv) < 2:
        raise UsageError("no image: give files and directories after the flags")

    from dftk.inference import verdicts

    def folder(flag: flags.FlagHolder[str | None]) -> Path | None:
        return Path(flag.value) if flag.value else None

    failed = verdicts.predict(
        verdicts.PredictOptions(
            models=_MODEL.value,
            paths=[Path(name) for name in argv[1:]],
            threshold=_THRESHOLD.value,
            format=_FORMAT.value,
            members=_MEMBERS.value,
            batch_size=_BATCH_SIZE.value,
            max_pixels=_MAX_PIXELS.value,
            output=folder(_OUTPUT),
            plot=folder(_PLOT),
            explain=folder(_EXPLAIN),
        )
    )
    return 1 if failed else 0


if __name__ == "__main__":
    cli.run(main)
