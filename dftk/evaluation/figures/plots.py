"""The figures of a run. Each is drawn by matplotlib and saved as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from dftk.evaluation.stats.metrics import BINS, expected_calibration_error

INK, GRID, ACCENT, SECOND = "#22303c", "#d9e0e6", "#c2410c", "#0e7490"
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "savefig.bbox": "tight",
}
Curves = Mapping[str, tuple[np.ndarray, np.ndarray, float]]  # name: labels, probabilities, AUC


def roc(path: Path, curves: Curves, bold: str) -> None:
    """Draws ROC curves in one figure.

    Args:
      path: PNG to write.
      curves: by name, labels int [n], probabilities float [n], and the AUC for the legend.
      bold: name of the curve to draw thick, if there is one.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5, 4.6))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GRID, linestyle="--", label="chance")
        for name, (labels, probabilities, auc) in curves.items():
            fpr, tpr, _ = roc_curve(labels, probabilities)
            style: dict[str, Any] = (
                {"color": ACCENT, "linewidth": 2.4, "zorder": 3} if name == bold else {}
            )
            axes.plot(fpr, tpr, label=f"{name}  AUC {auc:.4f}", **{"linewidth": 1, **style})
        axes.set(
            xlabel="false positive rate (real called fake)",
            ylabel="true positive rate (fake called fake)",
            xlim=(-0.01, 1),
            ylim=(0, 1.01),
            aspect="equal",
        )
        axes.legend(loc="lower right")
        save(figure, path)


def reliability(path: Path, sets: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draws the proportion of fakes against the predicted probability, and a histogram below.

    Args:
      path: PNG to write.
      sets: by name, labels int [n] and probabilities float [n].
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 5), layout="constrained")
        top, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
        top.plot([0, 1], [0, 1], color=GRID, linestyle="--", label="perfectly calibrated")
        for (name, (labels, probabilities)), colour in zip(sets.items(), (ACCENT, SECOND, INK)):
            observed, predicted = calibration_curve(labels, probabilities, n_bins=BINS, pos_label=1)
            error = expected_calibration_error(labels, probabilities)
            label = f"{name}  ECE {error:.3f}"
            top.plot(predicted, observed, color=colour, marker="o", markersize=3, label=label)
            below.hist(probabilities, BINS, range=(0, 1), histtype="step", color=colour)
        top.set(ylabel="proportion of fakes", ylim=(-0.02, 1.02))
        top.legend(loc="upper left")
        below.set(xlabel="predicted probability of fake", ylabel="images", xlim=(0, 1))
        save(figure, path)


def confusion_matrices(path: Path, matrices: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """Draws a 2x2 matrix for each name. Rows are the true classes; percentages are of the row."""
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        columns = min(3, len(matrices))
        rows = -(-len(matrices) // columns)
        figure = Figure(figsize=(2.7 * columns, 2.6 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(matrices) :]:
            axes.set_axis_off()
        for axes, (name, matrix) in zip(grid.flat, matrices.items()):
            _confusion_matrix(axes, name, np.array(matrix))
        save(figure, path)


def _confusion_matrix(axes: Axes, name: str, matrix: np.ndarray) -> None:
    proportion = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(proportion, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if proportion[row, column] > 0.5 else INK
        text = f"{count:,}\n{proportion[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks([0, 1], ["real", "fake"])
    axes.set_yticks([0, 1], ["real", "fake"], rotation=90, va="center")
    axes.set(title=name, xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draws loss and accuracy by epoch, a column for each fold. Dotted lines separate phases."""
    folds = sorted({row["fold"] for row in rows})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(5.0, 2.3 * len(folds)), 4.4), layout="constrained")
        grid = figure.subplots(2, len(folds), squeeze=False, sharex=True, sharey="row")
        for column, fold in enumerate(folds):
            fold_rows = [row for row in rows if row["fold"] == fold]
            grid[0, column].set_title(f"fold {fold}")
            for axes, name in zip(grid[:, column], ("loss", "accuracy")):
                _history(axes, fold_rows, name)
        for axes, name in zip(grid[:, 0], ("loss", "accuracy")):
            axes.set_ylabel(name)
        for axes in grid[1]:
            axes.set_xlabel("epoch")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
        save(figure, path)


def _history(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    epochs = np.arange(1, len(rows) + 1)
    marker = "o" if len(rows) < 16 else None
    for prefix, label, colour in (("", "training", SECOND), ("val_", "held-out fold", ACCENT)):
        values = [row[prefix + name] for row in rows]
        axes.plot(epochs, values, color=colour, label=label, marker=marker, markersize=3)
    phases = [row["phase"] for row in rows]
    for epoch in (i for i in range(1, len(phases)) if phases[i] != phases[i - 1]):
        axes.axvline(epoch + 0.5, color=INK, linestyle=":", linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def verdict(
    path: Path, image: np.ndarray, title: str, probability: float, threshold: float
) -> None:
    """Draws an image, its probability of fake as a bar, and the verdict in words.

    Args:
      path: PNG to write.
      image: uint8 [h, w, 3].
      title: the file's name.
      probability: of fake.
      threshold: an image with this probability or a higher one is called fake.
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(4, 4.9), layout="constrained")
        top, bar = figure.subplots(2, 1, height_ratios=(12, 1))
        _bare_image(top, image)
        colour = _bar(bar, title, probability, threshold)
        top.set_title(
            _verdict_text(probability, threshold), color=colour, fontsize=14, fontweight="bold"
        )
        save(figure, path)


def explanation(
    path: Path,
    image: np.ndarray,
    overlay: np.ndarray,
    title: str,
    probability: float,
    threshold: float,
) -> None:
    """Draws what `verdict` draws, and beside the image a heatmap of what suggests that it is fake.

    Args:
      path: PNG to write.
      image: uint8 [h, w, 3].
      overlay: uint8 [h, w, 3], the image under its heatmap.
      title: the file's name.
      probability: of fake.
      threshold: an image with this probability or a higher one is called fake.
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(7.4, 4.9), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(12, 1))
        bar = figure.add_subplot(grid[1, :])
        for column, picture, label in ((0, image, "image"), (1, overlay, "warm: speaks for fake")):
            axes = figure.add_subplot(grid[0, column])
            _bare_image(axes, picture)
            axes.set_title(label)
        colour = _bar(bar, title, probability, threshold)
        text = _verdict_text(probability, threshold)
        figure.suptitle(text, color=colour, fontsize=14, fontweight="bold")
        save(figure, path)


def _bare_image(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image)
    axes.set_axis_off()


def _verdict_text(probability: float, threshold: float) -> str:
    return f"{'FAKE' if probability >= threshold else 'REAL'}   p(fake) = {probability:.3f}"


def _bar(axes: Axes, title: str, probability: float, threshold: float) -> str:
    """Draws the probability of fake as a bar. Returns the verdict's colour."""
    colour = ACCENT if probability >= threshold else SECOND
    axes.barh([0], [probability], color=colour)
    axes.axvline(threshold, color=INK, linestyle=":", linewidth=1)
    axes.set(xlim=(0, 1), yticks=[], xlabel=title)
    return colour


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG. Makes its folder if need be."""
    # Figures are made without pyplot. They need no screen and no backend, and none stays open.
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
