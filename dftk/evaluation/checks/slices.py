"""Scores of slices of a set of predictions, and the images on which they are most wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.figures import contact_sheet
from dftk.evaluation.figures.contact_sheet import Row
from dftk.evaluation.stats import closed_form
from dftk.images import encoded
from dftk.models.config import THRESHOLD
from dftk.runs.results import SLICES
from dftk.utils.errors import UserError
from dftk.utils.files import columns, write_csv, write_json

ERRORS, SHEET = "errors.csv", "most_wrong.png"
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601
_MEASURES = {
    "brightness": "mean luma, levels of 255",
    "sharpness": "variance of the Laplacian of luma",
    "file size": "bytes",
}
_MAX_CATEGORIES = 12  # of folders or dimensions, each a slice


Slice = tuple[str, str, np.ndarray]  # what it is cut by, its name, bool [n]


def measures(decoded: encoded.Decoded) -> dict[str, Any]:
    """The properties of an image that define slices: brightness, sharpness, size, dimensions."""
    luma = np.asarray(decoded.image) @ _LUMA
    height, width = luma.shape
    return {
        "brightness": float(luma.mean()),
        "sharpness": sharpness(luma),
        "file size": len(decoded.encoded.data),
        "dimensions": f"{width}x{height}",
    }


def sharpness(luma: np.ndarray) -> float:
    """Variance of the four-neighbour Laplacian inside the border; 0 for sides below 3 pixels.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    if min(luma.shape) < 3:
        return 0.0
    neighbours = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((neighbours - 4 * luma[1:-1, 1:-1]).var())


def score_slices(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    """Scores all rows, and each slice of them.

    A slice's scores are compared with those of the whole set. The expected accuracy of a slice is
    the accuracy of the whole set on reals and on fakes, weighted by the slice's own numbers of
    reals and fakes. The expected AUC is that of the whole set, as the AUC does not depend on the
    mix of classes. The interval of the accuracy is that of a single proportion. It is conservative
    if the two classes have different accuracies (Hoeffding, "On the distribution of the number of
    successes in independent trials", 1956).

    Args:
      rows: with label, probability and what `measures` returns; optionally "fold" and "folder".
      threshold: images with this probability or a higher one are called fake.

    Returns:
      overall: scores as closed_form.scores; confidence: of each slice's interval, such that all
      intervals hold simultaneously at 95 %; slices: each with by, slice, its scores,
      expected_accuracy, and below: the scores ("accuracy", "auc") whose whole interval is below the
      expected value.
    """
    labels, probabilities = columns(rows, "label", "probability")
    cuts = [
        *(cut for name in ("fold", "folder", "dimensions") for cut in _by_category(rows, name)),
        *(cut for name in _MEASURES for cut in _by_tercile(rows, name)),
    ]
    confidence = closed_form.simultaneous_confidence(2 * len(cuts))
    overall = closed_form.scores(labels, probabilities, threshold)
    rates = _accuracy_by_class(labels, probabilities, threshold)
    slices = []
    for by, name, inside in cuts:
        entry = closed_form.scores(labels[inside], probabilities[inside], threshold, confidence)
        expected = {"accuracy": float(rates[labels[inside]].mean()), "auc": overall["auc"]}
        below = [score for score in expected if closed_form.is_below(entry, expected, score)]
        more = {"expected_accuracy": expected["accuracy"], "below": below}
        slices.append({"by": by, "slice": name, **entry, **more})
    return {
        "threshold": threshold,
        "overall": overall,
        "confidence": confidence,
        "measures": _MEASURES,
        "slices": slices,
    }


def _accuracy_by_class(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float
) -> np.ndarray:
    """Accuracy on reals and on fakes, [2]; 0 for a class without images."""
    correct = (probabilities >= threshold) == (labels == 1)
    return np.bincount(labels, correct, 2) / np.maximum(np.bincount(labels, minlength=2), 1)


def _by_category(rows: Sequence[Row], name: str) -> list[Slice]:
    """A slice for each of the most frequent values, and one for the rest; none if all are equal."""
    values = np.array([str(row.get(name, "")) for row in rows])
    categories, counts = np.unique(values, return_counts=True)
    if len(categories) < 2:
        return []
    kept = sorted(categories[np.argsort(-counts, kind="stable")][:_MAX_CATEGORIES])
    cuts = [(name, str(category), values == category) for category in kept]
    if len(categories) > len(kept):
        cuts.append((name, f"{len(categories) - len(kept)} others", ~np.isin(values, kept)))
    return cuts


def _by_tercile(rows: Sequence[Row], name: str) -> list[Slice]:
    """Three slices by a measure. Equal values are in the same slice; an empty slice is left out."""
    values = np.array([row[name] for row in rows], float)
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    cuts = [
        (name, f"low, up to {_short(low)}", values <= low),
        (name, f"middle, up to {_short(high)}", (values > low) & (values <= high)),
        (name, f"high, above {_short(high)}", values > high),
    ]
    return [cut for cut in cuts if cut[2].any()] if low < high else []


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(
    folder: Path,
    prefix: str,
    predictions: Sequence[Row],
    images: encoded.Images,
    threshold: float = THRESHOLD,
) -> dict[str, Any]:
    """Writes slices.json, errors.csv (all images, the most wrong first) and most_wrong.png.

    Args:
      folder: of the files; the picture is written to its folder plots/.
      prefix: begins the names of the files, such as "valid_".
      predictions: rows with filename, label, probability; at least one.
      images: to be read and measured. Images without a prediction are skipped.
      threshold: images with this probability or a higher one are called fake.

    Returns:
      the content of slices.json.

    Raises:
      UserError: an image that was scored can no longer be read.
    """
    by_name = {row["filename"]: row for row in predictions}
    shown = [row["filename"] for row in contact_sheet.most_wrong(predictions)]
    rows, tiles = [], {}
    wanted = (image for image in images if image.filename in by_name)
    for filename, found, small in encoded.in_threads(_Measure(set(shown)), wanted):
        rows.append({**by_name[filename], **found})
        if small is not None:
            tiles[filename] = contact_sheet.Tile(small, by_name[filename])
    result = score_slices(rows, threshold)
    ordered = [
        {**row, "wrong_by": contact_sheet.wrong_by(row)} for row in contact_sheet.order(rows)
    ]
    names = ["filename", "label", "probability", "wrong_by", *_MEASURES, "dimensions"]
    write_csv(folder / f"{prefix}{ERRORS}", names, ordered)
    sheet = folder / "plots" / f"{prefix}{SHEET}"
    contact_sheet.draw(sheet, [tiles[name] for name in shown], threshold)
    write_json(folder / f"{prefix}{SLICES}", result)
    return result


class _Measure:
    """Measures an image. Also makes a thumbnail if the sheet shows the image."""

    def __init__(self, shown: set[str]):
        self._shown = shown

    def __call__(self, image: encoded.Encoded) -> tuple[str, Mapping[str, Any], np.ndarray | None]:
        decoded = encoded.decode(image)
        if decoded.image is None:
            raise UserError(
                f"{image.filename}: the file changed since it was scored ({decoded.error}); run "
                "the command again"
            )
        small = contact_sheet.thumbnail(decoded.image) if image.filename in self._shown else None
        return image.filename, measures(decoded), small
