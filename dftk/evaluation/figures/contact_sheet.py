"""A sheet of the images on which a model is most wrong."""

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

IMAGES_PER_CLASS = 12
_COLUMNS = 6
_THUMBNAIL_SIZE = 140  # pixels of the longer side
_MAX_NAME = 24  # characters of a file's name that fit above its picture

Row = Mapping[str, Any]  # with filename, label, probability


@dataclasses.dataclass(frozen=True)
class Tile:
    """One image of the sheet."""

    image: np.ndarray  # uint8 [h, w, 3]
    row: Row


def order(rows: Sequence[Row]) -> list[Row]:
    """All rows, sorted by how wrong they are, the most wrong first."""
    return sorted(rows, key=lambda row: (-wrong_by(row), row["filename"]))


def wrong_by(row: Row) -> float:
    """The distance between the probability and the label, in [0, 1]."""
    return abs(row["probability"] - row["label"])


def most_wrong(rows: Sequence[Row], per_class: int = IMAGES_PER_CLASS) -> list[Row]:
    """The most wrong images of each class, reals first."""
    ordered = order(rows)
    classes = ([row for row in ordered if row["label"] == label] for label in (0, 1))
    return [row for rows_of_class in classes for row in rows_of_class[:per_class]]


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A copy of at most 140 pixels, uint8, so that many fit in memory."""
    scale = _THUMBNAIL_SIZE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[:2]]
    small = tf.image.resize(image, size, "bilinear", antialias=True)
    return tf.cast(tf.round(small), tf.uint8).numpy()


def draw(path: Path, tiles: Sequence[Tile], threshold: float) -> None:
    """Draws the tiles in rows by class, each with its file's name and probability.

    Args:
      path: PNG to write.
      tiles: in the order in which they are drawn.
      threshold: images with this probability or a higher one are called fake. The titles of wrong
        tiles are red.
    """
    classes = [[tile for tile in tiles if tile.row["label"] == label] for label in (0, 1)]
    blocks = [(label, found) for label, found in enumerate(classes) if found]
    heights = [-(-len(found) // _COLUMNS) for _, found in blocks]
    # Thumbnails need no more dots. Faces compress badly, and a page has several sheets.
    with matplotlib.rc_context({**plots.STYLE, "axes.grid": False, "savefig.dpi": 100}):
        figure = Figure(figsize=(1.55 * _COLUMNS, sum(1.85 * h + 0.35 for h in heights)),
                        layout="constrained")  # fmt: skip
        rows = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
        for row, (label, found), height in zip(rows, blocks, heights):
            word = ("highest", "lowest")[label]
            row.suptitle(f"{CLASSES[label]} images with the {word} probability of fake",
                          x=0.01, ha="left", fontsize=10, fontweight="bold")  # fmt: skip
            grid = row.subplots(height, _COLUMNS, squeeze=False).flat
            for axes in grid:
                axes.set_axis_off()
            for axes, tile in zip(row.axes, found):
                _draw_tile(axes, tile, threshold)
        plots.save(figure, path)


def _draw_tile(axes: Any, tile: Tile, threshold: float) -> None:
    row = tile.row
    wrong = (row["probability"] >= threshold) != bool(row["label"])
    name = Path(row["filename"]).name
    name = name if len(name) <= _MAX_NAME else f"…{name[1 - _MAX_NAME :]}"
    axes.imshow(tile.image)
    height, width = tile.image.shape[:2]
    span = np.array([-0.5, 0.5]) * max(height, width) - 0.5  # a square around every image
    axes.set(xlim=span + width / 2, ylim=(span + height / 2)[::-1])
    # Without parse_math=False, a name with two dollar signs would be drawn as a formula.
    axes.set_title(f"{name}\np(fake) = {row['probability']:.3f}", fontsize=6.5, parse_math=False,
                   color=plots.ACCENT if wrong else plots.INK)  # fmt: skip
