"""A sheet of the images that a model is most wrong about."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from dftk.evaluation.figures import plots
from dftk.images.encoded import CLASSES

EACH = 12  # images of each class
_COLUMNS = 6
_THUMBNAIL = 140  # pixels, the longer side
_NAME = 24  # characters of a file's name that fit above its picture

Row = Mapping[str, Any]  # with filename, label, probability


@dataclasses.dataclass(frozen=True)
class Tile:
    """One picture of the sheet."""

    image: np.ndarray  # uint8 [h, w, 3]
    row: Row


def order(rows: Sequence[Row]) -> list[Row]:
    """All rows, the most wrong first: by the distance of probability from label."""
    return sorted(rows, key=lambda row: (-wrong_by(row), row["filename"]))


def wrong_by(row: Row) -> float:
    """Distance of the probability from the label, in [0, 1]."""
    return abs(row["probability"] - row["label"])


def choose(rows: Sequence[Row], each: int = EACH) -> list[Row]:
    """The most wrong images of each class, reals first."""
    ordered = order(rows)
    return [row for label in (0, 1) for row in [r for r in ordered if r["label"] == label][:each]]


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A smaller copy, uint8, so that many can be kept."""
    share = _THUMBNAIL / max(image.shape[:2])
    if share >= 1:
        return image
    size = [max(1, round(side * share)) for side in image.shape[:2]]
    small = tf.image.resize(image, size, "bilinear", antialias=True)
    return tf.cast(tf.round(small), tf.uint8).numpy()


def draw(path: Path, tiles: Sequence[Tile], threshold: float) -> None:
    """Draws the tiles in rows by class, each with its file's name and probability.

    Args:
      path: PNG to write.
      tiles: in order; the class of each is its row's label.
      threshold: fake from here on; a tile on the wrong side of it is titled in red.
    """
    classes = [[tile for tile in tiles if tile.row["label"] == label] for label in (0, 1)]
    blocks = [(label, found) for label, found in enumerate(classes) if found]
    heights = [-(-len(found) // _COLUMNS) for _, found in blocks]
    # As many dots as the thumbnails have: faces compress badly, and pages hold several sheets.
    with matplotlib.rc_context({**plots.STYLE, "axes.grid": False, "savefig.dpi": 100}):
        figure = Figure(figsize=(1.55 * _COLUMNS, sum(1.85 * h + 0.35 for h in heights)),
                        layout="constrained")  # fmt: skip
        parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, (label, found), height in zip(parts, blocks, heights):
            word = ("highest", "lowest")[label]
            part.suptitle(f"{CLASSES[label]} images with the {word} probability of fake",
                          x=0.01, ha="left", fontsize=10, fontweight="bold")  # fmt: skip
            grid = part.subplots(height, _COLUMNS, squeeze=False).flat
            for axes in grid:
                axes.set_axis_off()
            for axes, tile in zip(part.axes, found):
                _draw_tile(axes, tile, threshold)
        plots.save(figure, path)


def _draw_tile(axes: Any, tile: Tile, threshold: float) -> None:
    row = tile.row
    wrong = (row["probability"] >= threshold) != bool(row["label"])
    name = Path(row["filename"]).name
    name = name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
    axes.imshow(tile.image)
    height, width = tile.image.shape[:2]
    room = np.array([-0.5, 0.5]) * max(height, width) - 0.5  # a square around every image
    axes.set(xlim=room + width / 2, ylim=(room + height / 2)[::-1])
    # parse_math: a name with two dollar signs is no formula.
    axes.set_title(f"{name}\np(fake) = {row['probability']:.3f}", fontsize=6.5, parse_math=False,
                   color=plots.ACCENT if wrong else plots.INK)  # fmt: skip
