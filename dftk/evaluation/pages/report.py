"""Joins the finished folds of a run: metrics.json, CSV files, figures and report.html."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.evaluation.checks import generalisation
from dftk.evaluation.checks.generalisation import Comparison
from dftk.evaluation.figures import plots
from dftk.evaluation.pages import model_card
from dftk.evaluation.pages.rendering import render
from dftk.evaluation.stats import intervals, metrics
from dftk.runs import results as run_results
from dftk.runs.results import Results, Row
from dftk.runs.workdir import HISTORY_COLUMNS, PREDICTION_COLUMNS, Workdir
from dftk.utils.files import columns, write_csv, write_json, write_text


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report was written from."""

    metrics: dict[str, Any]  # the content of metrics.json
    comparison: Comparison  # of the held-out folds, `valid` and all test sets


def write(workdir: Workdir) -> Report:
    """Writes what a workdir holds as one report. Each file is read once, each score computed once.

    Args:
      workdir: of a run with at least one finished fold.
    """
    predictions, history = workdir.predictions(), workdir.history()
    summary = metrics.summarize(predictions)
    label, probability = columns(predictions, "label", "probability")
    summary["intervals"] = {
        **intervals.describe(),
        "pooled": intervals.metric_intervals(label, probability),
    }
    summary["throughput"] = workdir.throughput()
    write_csv(workdir.path / run_results.PREDICTIONS, PREDICTION_COLUMNS, predictions)
    write_csv(workdir.path / "history.csv", HISTORY_COLUMNS, history)
    write_json(workdir.path / run_results.METRICS, summary)
    _draw(workdir.path / "plots", summary, predictions, history)
    results = run_results.read(workdir, summary, predictions)
    comparison = generalisation.compare(results)
    generalisation.draw(workdir.path, comparison)
    write_text(workdir.path / "report.html", page(results, comparison))
    return Report(summary, comparison)


def _draw(
    folder: Path, summary: Mapping[str, Any], predictions: Sequence[Row], history: Sequence[Row]
) -> None:
    fold, label, probability = columns(predictions, "fold", "label", "probability")
    curves, matrices = {}, {}
    for entry in summary["folds"]:
        here, name = fold == entry["fold"], f"fold {entry['fold']}"
        curves[name] = (label[here], probability[here], entry["auc"])
        matrices[name] = entry["confusion_matrix"]
    if len(curves) > 1:
        curves["pooled"] = (label, probability, summary["pooled"]["auc"])
        matrices["pooled"] = summary["pooled"]["confusion_matrix"]
    plots.roc(folder / "roc.png", curves, bold="pooled")
    plots.confusion_matrices(folder / "confusion_matrices.png", matrices)
    plots.history(folder / "history.png", history)
    plots.reliability(folder / "reliability.png", {"held-out folds": (label, probability)})


def page(results: Results, comparison: Comparison) -> str:
    """The HTML of report.html, which holds its pictures."""
    label, probability = columns(results.predictions, "label", "probability")
    config = results.record["config"]
    return render(
        "pages/templates/report.html",
        results=results,
        comparison=comparison,
        card=model_card.card(results),
        classification_report=metrics.classification_report(label, probability),
        chosen_by_held_out=run_results.chooses_by_held_out(config),
        weights=Path(config["weights"]).name,
        record_json=json.dumps(results.record, indent=2),
    )
