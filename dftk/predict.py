"""Scores image files: how likely each is fake.

python -m dftk.predict --model=runs/sample photo.jpg folder/

Writes a row for each image to stdout, in the order given; directories are walked in sorted order,
and hidden files in them are skipped. A file that cannot be scored is an error on stderr, and the
exit status is then 1. Memory stays constant for any number of files. As in training, the EXIF
orientation is ignored. Transparency is ignored, too: a transparent pixel has the colour that is
stored under it. BMPs with a palette are refused.
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
    "A .keras file, or a workdir for the models of all its folds. For an ensemble, repeat the flag "
    "or separate names with commas; its probability is the mean over all models, and each fold of "
    "a workdir counts as one model.",
)
_FORMAT = flags.DEFINE_enum("format", "csv", ["csv", "json"], "Format of the rows.")
_THRESHOLD = flags.DEFINE_string(
    "threshold",
    None,
    "Fake when the probability is at least this number. The word chosen takes the threshold that "
    "the run chose on its held-out predictions (metrics.json). That is also the default if --model "
    f"is one run, or a model of one run, that chose a threshold; otherwise it is {THRESHOLD}.",
)
_MEMBERS = flags.DEFINE_bool("members", False, "Adds a column for each model of the ensemble.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "File for the rows, instead of stdout. It appears only when it is complete."
)
_PLOT = flags.DEFINE_string(
    "plot", None, "Folder for a plot of each image with its verdict, named after the image's path."
)
_EXPLAIN = flags.DEFINE_string(
    "explain",
    None,
    "Folder for a plot of each image beside its Grad-CAM heatmap of what speaks for fake. For"
    " an ensemble it is the mean of the models' maps. This takes longer than scoring.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    32,
    "Images per forward pass; their sizes may differ. On a CPU, 64 were no faster than 32; a GPU "
    "may need more.",
    1,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    2**26,
    "A file whose header says more pixels is refused before it is decoded. An image of the default "
    "size takes about 1 GB; two of that size are never decoded at once.",
    1,
)


def main(argv: Sequence[str]) -> int:
    """Passes the flags to verdicts.predict; returns the exit status."""
    if not _MODEL.value:
        raise UsageError("--model: give a model.keras file or a workdir of dftk.train")
    if len(argv) < 2:
        raise UsageError("no image: give files and directories after the flags")

    from dftk.inference import verdicts

    def path(flag: flags.FlagHolder[str | None]) -> Path | None:
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
            output=path(_OUTPUT),
            plot=path(_PLOT),
            explain=path(_EXPLAIN),
        )
    )
    return 1 if failed else 0


if __name__ == "__main__":
    cli.run(main)
