"""The figures of an ensemble's scores on one set of images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.figures import plots


def draw(
    folder: Path,
    name: str,
    result: Mapping[str, Any],
    *,
    labels: np.ndarray,
    members: np.ndarray,
    mean: np.ndarray,
    prefix: str = "",
) -> None:
    """Draws the ROC curves of all members and their mean, and the ensemble's confusion matrix.

    A set with one class only has no ROC curve, so that no such file is written.

    Args:
      folder: of the PNG files `roc.png` and `confusion_matrix.png`.
      name: of the set, for the title.
      result: as ensemble_metrics.summarize gives it.
      labels: int [n], 0 real, 1 fake.
      members: each member's probability of fake, float [folds, n].
      mean: the ensemble's probability, float [n].
      prefix: begins the files' names.
    """
    curves = {
        f"fold {entry['fold']}": (labels, member, entry["auc"])
        for entry, member in zip(result["folds"], members)
    }
    if len(curves) > 1:
        curves["ensemble"] = (labels, mean, result["ensemble"]["auc"])
    if len(set(labels)) == 2:
        plots.roc(folder / f"{prefix}roc.png", curves, bold="ensemble")
    plots.confusion_matrices(
        folder / f"{prefix}confusion_matrix.png",
        {f"ensemble, {name}": result["ensemble"]["confusion_matrix"]},
    )
