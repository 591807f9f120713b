"""metrics.json, predictions.csv, history.csv, plots and one self-contained report.html."""

import html
import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.checks import generalisation
from dftk.evaluation.figures import plots
from dftk.evaluation.pages import audit_sections, model_card, report_sections
from dftk.evaluation.pages.html_parts import STYLE, picture
from dftk.evaluation.stats import intervals, metrics
from dftk.runs.workdir import HISTORY_COLUMNS, PREDICTION_COLUMNS, Workdir
from dftk.utils.files import write_csv, write_json, write_text

_TEMPLATE = Path(__file__).with_name("report_template.html")


def write(workdir: Workdir) -> dict[str, Any]:
    """Joins the finished folds into the workdir's files and pictures; returns metrics.json."""
    predictions, history = workdir.predictions(), workdir.history()
    summary = metrics.summarize(predictions)
    label, probability = columns(predictions)
    summary["intervals"] = {
        **intervals.describe(),
        "pooled": intervals.confidence(label, probability),
    }
    summary["throughput"] = workdir.throughput()
    write_csv(workdir.path / "predictions.csv", PREDICTION_COLUMNS, predictions)
    write_csv(workdir.path / "history.csv", HISTORY_COLUMNS, history)
    write_json(workdir.path / "metrics.json", summary)
    _draw(workdir.path / "plots", summary, predictions, history)
    generalisation.draw(workdir)
    write_html(workdir)
    return summary


def _draw(folder: Path, summary: dict, predictions: list[dict], history: list[dict]) -> None:
    label, probability = columns(predictions)
    fold = np.array([row["fold"] for row in predictions])
    curves = {
        f"fold {entry['fold']}": (
            label[fold == entry["fold"]],
            probability[fold == entry["fold"]],
            entry["auc"],
        )
        for entry in summary["folds"]
    }
    matrices = {f"fold {e['fold']}": e["confusion_matrix"] for e in summary["folds"]}
    if len(curves) > 1:
        curves["pooled"] = (label, probability, summary["pooled"]["auc"])
        matrices["pooled"] = summary["pooled"]["confusion_matrix"]
    plots.roc(folder / "roc.png", curves, bold="pooled")
    plots.confusion_matrices(folder / "confusion_matrices.png", matrices)
    plots.history(folder / "history.png", history)
    plots.reliability(folder / "reliability.png", {"held-out folds": (label, probability)})


def columns(predictions: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels, int [n], and probabilities, float [n], of rows of predictions."""
    label = np.array([row["label"] for row in predictions])
    return label, np.array([row["probability"] for row in predictions])


def write_html(workdir: Workdir) -> None:
    """Writes report.html from what the workdir holds; pictures are inside it."""
    summary = json.loads((workdir.path / "metrics.json").read_text())
    record = workdir.config()
    config = record["config"]
    plots_dir = workdir.path / "plots"
    folds = [entry["fold"] for entry in summary["folds"]]
    limit = f"--max_examples={config['max_examples']}, " if config["max_examples"] else ""
    page = string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        style=STYLE,
        dataset=html.escape(record["inputs"]["dataset"]),
        device=html.escape(record["device"]),
        subtitle=html.escape(
            f"{config['model']}, {config['image_size']} px, "
            f"{len(folds)} of {config['folds']} folds, {summary['pooled']['n']:,} predictions, "
            f"{limit}weights {Path(config['weights']).name}, seed {config['seed']}"
        ),
        cards=report_sections.cards(summary),
        held_out=report_sections.held_out(summary),
        chosen=report_sections.chosen(config),
        threshold=report_sections.threshold(summary),
        roc=picture(plots_dir / "roc.png", "ROC curves per fold and pooled"),
        confusion=picture(plots_dir / "confusion_matrices.png", "Confusion matrices"),
        history=picture(plots_dir / "history.png", "Loss and accuracy by epoch"),
        reliability=picture(plots_dir / "reliability.png", "Calibration on the held-out folds"),
        classification_report=html.escape(
            metrics.classification_report(*columns(workdir.predictions()))
        ),
        valid=report_sections.valid(workdir),
        test_sets=audit_sections.test_sets(workdir),
        slices=audit_sections.slices(workdir),
        robustness=audit_sections.robustness(workdir),
        shortcuts=audit_sections.shortcuts(workdir),
        model_card=model_card.section(workdir, summary),
        throughput=report_sections.throughput(summary["throughput"]),
        record=html.escape(json.dumps(record, indent=2)),
    )
    write_text(workdir.path / "report.html", page)


def text_table(summary: Mapping[str, Any]) -> str:
    """The folds' scores as lines of text, for a terminal."""
    rows = [(f"fold {entry['fold']}", entry) for entry in summary["folds"]]
    if len(rows) > 1:
        joint = ("mean", "std", "pooled", "ensemble")
        rows += [(name, summary[name]) for name in joint if name in summary]
    lines = [f"{'':10}{'n':>7}" + "".join(f"{name:>11}" for name in metrics.SCORES)]
    for name, entry in rows:
        scores = "".join(f"{entry[score]:11.4f}" for score in metrics.SCORES)
        lines.append(f"{name:10}{entry.get('n', ''):>7}{scores}")
    return "\n".join(lines)
