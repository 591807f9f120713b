"""Robustness: an ensemble's accuracy and AUC on perturbed images of `valid`, level by level."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dftk.evaluation.checks.perturbations import ALL, Perturbation, seeds_of
from dftk.evaluation.figures import plots
from dftk.evaluation.stats import closed_form
from dftk.images import encoded
from dftk.models.config import THRESHOLD
from dftk.runs.results import ROBUSTNESS
from dftk.runs.saved_models import Ensemble
from dftk.utils.errors import UserError
from dftk.utils.files import write_json
from dftk.utils.progress import Progress, duration

PICTURE = "plots/robustness.png"
_SEED = 0
Probabilities = dict[tuple[str, float], list[float]]


def sweep(
    ensemble: Ensemble,
    images: encoded.Images,
    total: int,
    perturbations: Mapping[str, Perturbation] = ALL,
    threshold: float = THRESHOLD,
) -> dict[str, Any]:
    """Scores every image unchanged, and at every level of every perturbation.

    Args:
      ensemble: to be scored.
      images: each is decoded once and perturbed at all levels; none stays in memory.
      total: the number of images, for the progress line.
      perturbations: by name.
      threshold: images with this probability or a higher one are called fake.

    Returns:
      clean: scores as closed_form.scores; perturbations: by name, title, unit, and a list of
      levels, each with its value and its scores.

    Raises:
      UserError: an image cannot be decoded.
    """
    changes = {
        (name, level): perturbation.at(level)
        for name, perturbation in perturbations.items()
        for level in perturbation.levels
    }
    labels: list[int] = []
    clean: list[float] = []
    perturbed: Probabilities = {key: [] for key in changes}
    progress = Progress("robustness", total)
    for group, stack in encoded.groups(_all_decoded(images)):
        pixels = tf.constant(stack)
        seeds = tf.constant(seeds_of([item.filename for item in group], _SEED))
        labels += [item.label for item in group]
        clean += ensemble(pixels).mean(axis=0).tolist()
        for key, change in changes.items():
            perturbed[key] += ensemble(change(pixels, seeds)).mean(axis=0).tolist()
        progress.update(len(labels))
    progress.close(
        f"{len(labels):,} images at {len(changes)} levels in {duration(progress.seconds)}"
    )
    return _summary(np.array(labels), clean, perturbed, perturbations, threshold)


def _all_decoded(images: encoded.Images) -> Iterator[encoded.Decoded]:
    for item in encoded.decoded(images):
        if item.error:  # a dataset, unlike a folder, must not have such an image
            raise UserError(f"{item.encoded.filename}: {item.error}; build the dataset without it")
        yield item


def _summary(
    labels: np.ndarray,
    clean: list[float],
    perturbed: Probabilities,
    perturbations: Mapping[str, Perturbation],
    threshold: float,
) -> dict[str, Any]:
    def scores(probabilities: list[float]) -> dict[str, Any]:
        return closed_form.scores(labels, np.array(probabilities), threshold)

    return {
        "split": "valid",
        "threshold": threshold,
        "confidence": closed_form.CONFIDENCE,
        "seed": _SEED,
        "clean": scores(clean),
        "perturbations": {
            name: {
                "title": perturbation.title,
                "unit": perturbation.unit,
                "levels": [
                    {"level": level, **scores(perturbed[name, level])}
                    for level in perturbation.levels
                ],
            }
            for name, perturbation in perturbations.items()
        },
    }


def write(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes robustness.json and its picture to a workdir."""
    draw(folder / PICTURE, result)
    write_json(folder / ROBUSTNESS, result)


def draw(path: Path, result: Mapping[str, Any]) -> None:
    """Draws a panel for each perturbation: accuracy and AUC by level, with their intervals."""
    panels = list(result["perturbations"].values())
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(2.35 * len(panels), 3.1), layout="constrained")
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, panel in zip(grid, panels):
            levels = [{"level": "clean", **result["clean"]}, *panel["levels"]]
            _draw_panel(axes, levels)
            axes.set(title=panel["title"], xlabel=panel["unit"])
        grid[0].set_ylim(top=1.02)
        handles, names = grid[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=3)
        figure.suptitle(
            f"{result['clean']['n']:,} images of valid, ensemble", x=0.01, ha="left", fontsize=10
        )
        plots.save(figure, path)


def _draw_panel(axes: Axes, levels: Sequence[Mapping[str, Any]]) -> None:
    positions = np.arange(len(levels))
    for score, name, colour in (
        ("accuracy", "accuracy", plots.ACCENT),
        ("auc", "AUC", plots.SECOND),
    ):
        values = np.array([level[score] for level in levels])
        low, high = np.array([level[f"{score}_interval"] for level in levels]).T
        axes.fill_between(positions, low, high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(positions, values, color=colour, label=name, marker="o", markersize=3)
        axes.plot(positions[:1], values[:1], color=colour, marker="o", markersize=6)
    axes.axhline(0.5, color=plots.INK, linestyle=":", linewidth=1, label="chance")
    axes.axvline(0, color=plots.GRID, linewidth=4, zorder=0)
    axes.set_xticks(positions, [str(level["level"]) for level in levels])
