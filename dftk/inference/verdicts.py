"""Scores image files and writes the verdicts: rows of CSV or JSON, and plots."""

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
from dftk.images.image_files import UnreadableImage
from dftk.inference import model_choice, result_plots, stream
from dftk.inference.batch_scoring import Prediction
from dftk.runs import saved_models
from dftk.runs.saved_models import Ensemble
from dftk.utils.errors import UserError
from dftk.utils.files import replacing
from dftk.utils.progress import FileCounter, Throughput, say


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What to score and what to write; the flags of dftk.predict say more of each."""

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


def predict(options: PredictOptions) -> int:
    """Writes a row for each file that can be scored, and an error to stderr for each other file.

    Returns:
      the number of files that could not be scored.

    Raises:
      UserError: a model cannot be loaded, or a file or folder cannot be written.
    """
    threshold, source = model_choice.threshold(options.threshold, options.models)
    _require_writable(options.output)
    files = model_choice.model_files(options.models)
    ensemble = saved_models.load_ensemble(files)
    names = model_choice.column_names(files) if options.members else []
    say(f"fake from a probability of {threshold:.6g} on ({source})")
    speed = Throughput()
    # Rows on the same terminal show the progress by themselves.
    progress = FileCounter("predict", quiet=not options.output and sys.stdout.isatty())

    def rows() -> Iterator[dict[str, Any]]:
        found = image_files.find_images(options.paths)
        for result in stream.score_files(
            ensemble, found, options.batch_size, options.max_pixels, speed
        ):
            if isinstance(result, Prediction) and (options.plot or options.explain):
                result = _plot(options, result, ensemble, threshold)
            if isinstance(result, UnreadableImage):
                progress.fail(f"error: {result.path}: {result.reason}")
                continue
            progress.step(speed.input_wait)
            yield _row(result, threshold, names)

    write = _write_json if options.format == "json" else _write_csv
    with _open_output(options.output) as file:
        write(file, ["filename", "probability", "label", *names], rows())
    progress.close(speed.input_wait)
    return progress.failed


def _plot(
    options: PredictOptions, prediction: Prediction, ensemble: Ensemble, threshold: float
) -> Prediction | UnreadableImage:
    """Writes the plots of one image; returns why, if the file cannot be read again for them."""
    image = result_plots.read_again(prediction.path, options.max_pixels)
    if isinstance(image, UnreadableImage):
        return image
    if options.plot:
        result_plots.plot_verdict(prediction, image, options.plot, threshold)
    if options.explain:
        result_plots.plot_explanation(prediction, image, ensemble, options.explain, threshold)
    return prediction


def _require_writable(output: Path | None) -> None:
    """Checks the output before the first image is scored, not after the last one.

    Raises:
      UserError: no file can be written there.
    """
    if output is None:
        return
    if output.is_dir():
        raise UserError(f"--output={output}: is a directory; give a file in it, {output}/rows.csv")
    if not (output.parent.is_dir() and os.access(output.parent, os.W_OK)):
        raise UserError(
            f"--output={output}: cannot write there; give a file in an existing folder that "
            "you may write to"
        )


def _row(prediction: Prediction, threshold: float, names: Sequence[str]) -> dict[str, Any]:
    probability = _digits(prediction.probability)  # so that the label fits the printed number
    return {
        "filename": str(prediction.path),
        "probability": probability,
        "label": "fake" if probability >= threshold else "real",
        **dict(zip(names, map(_digits, prediction.members))),
    }


def _digits(probability: float) -> float:
    return float(f"{probability:.9g}")  # enough digits to restore the float32


@contextlib.contextmanager
def _open_output(output: Path | None) -> Iterator[TextIO]:
    """Opens stdout, or a file that takes its place only when it is complete.

    File names that are not UTF-8 are written as their own bytes.
    """
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:
            # Otherwise Python complains once more when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise UserError("stdout: its reader has gone, so the rows end here") from None
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
