"""metrics.json, predictions.csv, history.csv, plots and one self-contained report.html."""

import html
import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dftk.config import THRESHOLD
from dftk.evaluation import metrics, plots
from dftk.evaluation.files import write_csv, write_json, write_text
from dftk.evaluation.html_parts import number, percent, picture, score_table, table, title
from dftk.evaluation.workdir import HISTORY_COLUMNS, PREDICTION_COLUMNS, Workdir

_TEMPLATE = Path(__file__).with_name("report_template.html")


def write(workdir: Workdir) -> dict[str, Any]:
    """Joins the finished folds into the workdir's files and pictures; returns metrics.json."""
    predictions, history = workdir.predictions(), workdir.history()
    summary = metrics.summarize(predictions)
    summary["throughput"] = workdir.throughput()
    write_csv(workdir.path / "predictions.csv", PREDICTION_COLUMNS, predictions)
    write_csv(workdir.path / "history.csv", HISTORY_COLUMNS, history)
    write_json(workdir.path / "metrics.json", summary)
    _draw(workdir.path / "plots", summary, predictions, history)
    write_html(workdir)
    return summary


def _draw(folder: Path, summary: dict, predictions: list[dict], history: list[dict]) -> None:
    label = np.array([row["label"] for row in predictions])
    fold = np.array([row["fold"] for row in predictions])
    probability = np.array([row["probability"] for row in predictions])
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


def write_html(workdir: Workdir) -> None:
    """Writes report.html from what the workdir holds; pictures are inside it."""
    summary = json.loads((workdir.path / "metrics.json").read_text())
    record = workdir.config()
    config = record["config"]
    plots_dir = workdir.path / "plots"
    predictions = workdir.predictions()
    label = np.array([row["label"] for row in predictions])
    probability = np.array([row["probability"] for row in predictions])
    folds = [entry["fold"] for entry in summary["folds"]]
    limit = f"--max_examples={config['max_examples']}, " if config["max_examples"] else ""
    page = string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        dataset=html.escape(record["inputs"]["dataset"]),
        device=html.escape(record["device"]),
        subtitle=html.escape(
            f"{config['model']}, {config['image_size']} px, "
            f"{len(folds)} of {config['folds']} folds, {summary['pooled']['n']:,} predictions, "
            f"{limit}weights {Path(config['weights']).name}, seed {config['seed']}"
        ),
        cards=_cards(summary),
        fold_table=_fold_table(summary),
        roc=picture(plots_dir / "roc.png", "ROC curves per fold and pooled"),
        confusion=picture(plots_dir / "confusion_matrices.png", "Confusion matrices"),
        history=picture(plots_dir / "history.png", "Loss and accuracy by epoch"),
        classification_report=html.escape(metrics.classification_report(label, probability)),
        valid=_valid_section(workdir),
        throughput=_throughput_table(summary["throughput"]),
        record=html.escape(json.dumps(record, indent=2)),
        threshold=THRESHOLD,
    )
    write_text(workdir.path / "report.html", page)


def _cards(summary: Mapping[str, Any]) -> str:
    cards = []
    count = len(summary["folds"])
    for name in metrics.SCORES:
        mean, std = summary["mean"][name], summary["std"][name]
        cards.append(
            f"<div class='card'><div class='name'>{title(name)}</div>"
            f"<div class='value'>{percent(name, summary['pooled'][name])}</div>"
            f"<div class='spread'>{_spread(name, mean, std, count)}</div></div>"
        )
    return "\n".join(cards)


def _spread(name: str, mean: float | None, std: float | None, folds: int) -> str:
    if folds == 1:
        return "one fold"
    return f"folds {percent(name, mean)} ± {percent(name, std)}"


def _fold_table(summary: Mapping[str, Any]) -> str:
    rows = [(str(entry["fold"]), entry) for entry in summary["folds"]]
    if len(rows) > 1:
        rows += [("mean", summary["mean"]), ("± std", summary["std"])]
        rows += [("pooled", summary["pooled"])]
    return score_table("fold", rows, strong=len(summary["folds"]))


def _throughput_table(throughput: Mapping[str, Any]) -> str:
    body = [
        [
            fold.removeprefix("fold_"),
            phase,
            number(speed["examples_per_s"], ".1f"),
            number(speed.get("ms_per_step"), ",.0f"),  # runs of before had none
            number(speed["input_wait"], ".2%"),
            number(speed["train_seconds"], ",.0f"),
            number(speed["compile_seconds"], ",.1f"),
        ]
        for fold, phases in throughput.items()
        for phase, speed in phases.items()
    ]
    head = ["fold", "phase", "img/s", "ms/step", "waiting for input", "training s", "compiling s"]
    return table(head, body)


def _valid_section(workdir: Workdir) -> str:
    file = workdir.path / "valid_metrics.json"
    command = f"python -m dftk.evaluate --workdir={html.escape(str(workdir.path))} --split=valid"
    if not file.is_file():
        return f"<p>Not scored yet: <code>{command}</code></p>"
    result = json.loads(file.read_text())
    if [entry["fold"] for entry in result["folds"]] != workdir.finished_folds():
        return f"<p>Scored before the last fold was trained; once more: <code>{command}</code></p>"
    rows = [(f"model of fold {entry['fold']}", entry) for entry in result["folds"]]
    if len(rows) > 1:
        rows.append(("ensemble (mean probability)", result["ensemble"]))
    pictures = picture(workdir.path / "plots" / "valid_roc.png", "ROC on valid") + picture(
        workdir.path / "plots" / "valid_confusion_matrix.png", "Confusion matrix on valid"
    )
    scores = score_table("", rows, strong=len(result["folds"]))
    note = f"<p class='soft'>{html.escape(result['shortfall'])}</p>" if result["shortfall"] else ""
    return f"{scores}{note}<div class='pair'>{pictures}</div>"


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
