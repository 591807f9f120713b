"""Scores of parts of a set of predictions, and the images that they are most wrong about."""

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
_MOST_KINDS = 12  # of folders or dimensions that are told apart


def measures(decoded: encoded.Decoded) -> dict[str, Any]:
    """What slices are cut by: brightness, sharpness, file size, dimensions."""
    luma = np.asarray(decoded.image) @ _LUMA
    height, width = luma.shape
    return {
        "brightness": float(luma.mean()),
        "sharpness": sharpness(luma),
        "file size": len(decoded.encoded.data),
        "dimensions": f"{width}x{height}",
    }


def sharpness(luma: np.ndarray) -> float:
    """Variance of the four-neighbour Laplacian, [h, w] without its border; 0 below 3 pixels.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    if min(luma.shape) < 3:
        return 0.0
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4 * luma[1:-1, 1:-1]).var())


def cut(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    """Scores all rows and each slice of them.

    A slice is compared with what the whole gives at the slice's own mix of classes: its accuracy
    with the mean, over its images, of the accuracy of the whole on the image's class (of a slice of
    one class that is the whole's accuracy on this class), its AUC, which no mix changes, with the
    whole's. The interval of the accuracy is of one share, thus on the safe side for two classes
    of unlike ones (Hoeffding, "On the distribution of the number of successes in independent
    trials", 1956).

    Args:
      rows: with label, probability and what `measures` gives; "fold" and "folder" where there are.
      threshold: fake from here on.

    Returns:
      overall: scores as closed_form.scores; confidence (of each slice's interval: all hold together
      at 95 %); slices: each with by, slice, its scores, expected_accuracy, and below: the scores
      ("accuracy", "auc") whose interval lies wholly below what is expected.
    """
    labels, probabilities = columns(rows, "label", "probability")
    parts = [
        *(part for name in ("fold", "folder", "dimensions") for part in _kinds(rows, name)),
        *(part for name in _MEASURES for part in _terciles(rows, name)),
    ]
    confidence = closed_form.together(2 * len(parts))
    overall = closed_form.scores(labels, probabilities, threshold)
    rates = _accuracy_by_class(labels, probabilities, threshold)
    slices = []
    for by, name, inside in parts:
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
    """Share of right answers on reals and on fakes, [2]; 0 for a class without images."""
    right = (probabilities >= threshold) == (labels == 1)
    return np.bincount(labels, right, 2) / np.maximum(np.bincount(labels, minlength=2), 1)


def _kinds(rows: Sequence[Row], name: str) -> list[tuple[str, str, np.ndarray]]:
    """A slice for each value, the most frequent ones where there are many; none if all agree."""
    values = np.array([str(row.get(name, "")) for row in rows])
    kinds, counts = np.unique(values, return_counts=True)
    if len(kinds) < 2:
        return []
    kept = sorted(kinds[np.argsort(-counts, kind="stable")][:_MOST_KINDS])
    parts = [(name, str(kind), values == kind) for kind in kept]
    if len(kinds) > len(kept):
        parts.append((name, f"{len(kinds) - len(kept)} others", ~np.isin(values, kept)))
    return parts


def _terciles(rows: Sequence[Row], name: str) -> list[tuple[str, str, np.ndarray]]:
    """Thirds by a measure; equal values fall into the same one, so that a third may be empty."""
    values = np.array([row[name] for row in rows], float)
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    parts = [
        (name, f"low, up to {_short(low)}", values <= low),
        (name, f"middle, up to {_short(high)}", (values > low) & (values <= high)),
        (name, f"high, above {_short(high)}", values > high),
    ]
    return [part for part in parts if part[2].any()] if low < high else []


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(
    folder: Path,
    prefix: str,
    predictions: Sequence[Row],
    images: encoded.Images,
    threshold: float = THRESHOLD,
) -> dict[str, Any]:
    """Writes slices.json, errors.csv (all images, the most wrong first) and the sheet of these.

    Args:
      folder: pictures go to plots/ below it.
      prefix: begins the names of the files, such as "valid_".
      predictions: rows with filename, label, probability; at least one.
      images: read once more, to measure; those without a prediction are passed over.
      threshold: fake from here on.

    Returns:
      slices.json's content.

    Raises:
      UserError: an image with a prediction that cannot be read any more.
    """
    by_name = {row["filename"]: row for row in predictions}
    chosen = [row["filename"] for row in contact_sheet.choose(predictions)]
    rows, tiles = [], {}
    wanted = (image for image in images if image.filename in by_name)
    for filename, found, small in encoded.in_threads(_Measure(set(chosen)), wanted):
        rows.append({**by_name[filename], **found})
        if small is not None:
            tiles[filename] = contact_sheet.Tile(small, by_name[filename])
    result = cut(rows, threshold)
    ordered = [
        {**row, "wrong_by": contact_sheet.wrong_by(row)} for row in contact_sheet.order(rows)
    ]
    names = ["filename", "label", "probability", "wrong_by", *_MEASURES, "dimensions"]
    write_csv(folder / f"{prefix}{ERRORS}", names, ordered)
    sheet = folder / "plots" / f"{prefix}{SHEET}"
    contact_sheet.draw(sheet, [tiles[name] for name in chosen], threshold)
    write_json(folder / f"{prefix}{SLICES}", result)
    return result


class _Measure:
    """Measures an image, and keeps a small copy of those that the sheet shows."""

    def __init__(self, chosen: set[str]):
        self._chosen = chosen

    def __call__(self, image: encoded.Encoded) -> tuple[str, Mapping[str, Any], np.ndarray | None]:
        decoded = encoded.decode(image)
        if decoded.image is None:
            raise UserError(
                f"{image.filename}: changed while it was being scored ({decoded.error}); run again"
            )
        small = contact_sheet.thumbnail(decoded.image) if image.filename in self._chosen else None
        return image.filename, measures(decoded), small
