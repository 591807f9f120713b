"""Writes a comparison of runs as comparison.json and as one self-contained page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.evaluation.comparison import tables
from dftk.evaluation.comparison.compared_runs import Predictions, Run
from dftk.evaluation.figures import plots
from dftk.evaluation.pages.rendering import render
from dftk.utils.errors import UserError
from dftk.utils.files import write_json, write_text


def write(folder: Path, content: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """Writes comparison.json, comparison.html and its figures.

    Args:
      folder: made if it is not there.
      content: see dftk.evaluation.comparison.comparison.compare.
      runs: the runs compared, for their ROC curves.

    Raises:
      UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "comparison.json", content)
        pictures = {}
        for name, words in tables.SETS.items():
            if curves := _curves(content, runs, name):
                path = folder / f"roc_{name}.png"
                plots.roc(path, curves, bold="")
                pictures[f"ROC on {words}"] = path
        page = render(
            "comparison/comparison.html",
            content=content,
            pictures=pictures,
            names=[run["name"] for run in content["runs"]],
            tables=tables,
        )
        write_text(folder / "comparison.html", page)
    except OSError as error:
        raise UserError(f"{folder}: cannot write there ({error.strerror})") from None


def _curves(content: Mapping[str, Any], runs: Sequence[Run], name: str) -> plots.Curves:
    curves = {}
    for run, entry in zip(runs, content["runs"]):
        predictions: Predictions | None = getattr(run, name)
        if predictions:
            label = f"{run.name}, {tables.SETS[name]}"
            auc = entry[name]["auc"]
            curves[label] = (predictions.labels, predictions.probabilities, auc)
    return curves
