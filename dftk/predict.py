"""Says of image files how likely each is fake.

python -m dftk.predict --model=runs/sample photo.jpg folder/
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from absl import flags

from dftk import cli
from dftk.config import THRESHOLD, UsageError

_MODEL = flags.DEFINE_string(
    "model", None, "A .keras file, or a workdir: the mean over the models of its folds."
)
_FORMAT = flags.DEFINE_enum("format", "csv", ["csv", "json"], "Of what goes to stdout.")
_THRESHOLD = flags.DEFINE_float(
    "threshold", THRESHOLD, "Fake when the probability is at least this.", 0.0, 1.0
)
_PLOT = flags.DEFINE_string(
    "plot", None, "Folder for a picture of each image with its verdict, named after its path."
)


def main(argv: Sequence[str]) -> int:
    """Flags to one call; rows to stdout, errors to stderr."""
    if _MODEL.value is None:
        raise UsageError("--model: give a model.keras file or a workdir of dftk.train")
    if len(argv) < 2:
        raise UsageError("no image: give files and directories after the flags")

    from dftk.evaluation import scoring

    ensemble = scoring.load_ensemble(scoring.model_paths(Path(_MODEL.value)))
    scores = scoring.score_files(ensemble, scoring.find_images(map(Path, argv[1:])))
    failed = 0

    def good() -> Iterator[dict]:
        nonlocal failed
        for score in scores:
            if score.error:
                failed += 1
                print(f"error: {score.path}: {score.error}", file=sys.stderr)
                continue
            label = "fake" if score.probability >= _THRESHOLD.value else "real"
            if _PLOT.value:
                scoring.draw_verdict(score, Path(_PLOT.value), _THRESHOLD.value)
            yield {
                "filename": str(score.path),
                "probability": float(f"{score.probability:.9g}"),
                "label": label,
            }

    (_print_json if _FORMAT.value == "json" else _print_csv)(good())
    return 1 if failed else 0


def _print_csv(rows: Iterable[dict]) -> None:
    writer = csv.DictWriter(sys.stdout, ["filename", "probability", "label"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_json(rows: Iterable[dict]) -> None:
    print("[", end="")
    for position, row in enumerate(rows):
        print(",\n " if position else "\n ", json.dumps(row), end="", sep="")
    print("\n]")


if __name__ == "__main__":
    cli.run(main)
