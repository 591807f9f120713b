"""What dftk.predict does: files to rows of verdicts, and pictures of them."""

import contextlib
import csv
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from dftk.images import image_files
from dftk.images.image_files import FileScore
from dftk.inference import model_choice, pictures, stream
from dftk.runs import saved_models
from dftk.runs.saved_models import Ensemble
from dftk.utils.errors import UserError
from dftk.utils.files import replacing
from dftk.utils.progress import FileCounter, Throughput, say


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of which files; see the flags of dftk.predict."""

    models: Sequence[str]
    paths: Sequence[Path]
    threshold: str | None
    format: str = "csv"
    members: bool = False
    batch_size: int = stream.BATCH_SIZE
    max_pixels: int = stream.MAX_PIXELS
    output: Path | None = None
    plot: Path | None = None
    explain: Path | None = None


def predict(request: Request) -> int:
    """Writes a row for each file that could be scored, an error to stderr for each other one.

    Returns:
      how many could not.

    Raises:
      UserError: a model that is none, or a place that cannot be written.
    """
    threshold, source = model_choice.threshold(request.threshold, request.models)
    _require_place(request.output)
    files = model_choice.model_files(request.models)
    ensemble = saved_models.load_ensemble(files)
    names = model_choice.column_names(files) if request.members else []
    say(f"fake from {threshold:.6g} on, {source}")
    speed = Throughput()
    # Rows on the same terminal say how far it is.
    progress = FileCounter("predict", quiet=not request.output and sys.stdout.isatty())

    def rows() -> Iterator[dict[str, Any]]:
        found = image_files.find_images(request.paths)
        for score in stream.score_files(
            ensemble, found, request.batch_size, request.max_pixels, speed
        ):
            if score.error:
                progress.fail(f"error: {score.path}: {score.error}")
                continue
            try:
                _draw(request, score, ensemble, threshold)
            except pictures.Unreadable as error:
                progress.fail(f"error: {score.path}: {error}")
                continue
            progress.step(speed.input_wait)
            yield _row(score, threshold, names)

    write = _write_json if request.format == "json" else _write_csv
    with _target(request.output) as file:
        write(file, ["filename", "probability", "label", *names], rows())
    progress.close(speed.input_wait)
    return progress.failed


def _draw(request: Request, score: FileScore, ensemble: Ensemble, threshold: float) -> None:
    if request.plot:
        pictures.draw_verdict(score, request.plot, threshold, request.max_pixels)
    if request.explain:
        pictures.draw_explanation(score, ensemble, request.explain, threshold, request.max_pixels)


def _require_place(output: Path | None) -> None:
    """Before the first image, not after the last.

    Raises:
      UserError: no file can be written there.
    """
    if output is None:
        return
    if output.is_dir():
        raise UserError(f"--output={output}: is a directory; give a file in it, {output}/rows.csv")
    if not (output.parent.is_dir() and os.access(output.parent, os.W_OK)):
        raise UserError(
            f"--output={output}: cannot write there; give a file in a folder that is there and "
            "yours to write"
        )


def _row(score: FileScore, threshold: float, names: Sequence[str]) -> dict[str, Any]:
    probability = _digits(score.probability)  # the label is that of the number one reads
    return {
        "filename": str(score.path),
        "probability": probability,
        "label": "fake" if probability >= threshold else "real",
        **dict(zip(names, map(_digits, score.members))),
    }


def _digits(probability: float) -> float:
    return float(f"{probability:.9g}")  # what gives a float32 back


@contextlib.contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that is whole or not there. Names that are no UTF-8 stay their bytes."""
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:
            # Else Python complains once more when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise UserError("stdout: its reader has gone; rows end here") from None
        return
    try:
        with (
            replacing(output) as part,
            part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            yield file
    except OSError as error:
        raise UserError(f"--output={output}: cannot write there ({error.strerror})") from error


def _write_csv(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _write_json(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    del columns
    file.write("[")
    for position, row in enumerate(rows):
        file.write(("," if position else "") + "\n " + json.dumps(row))
    file.write("\n]\n")
