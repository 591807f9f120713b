"""Sections of report.html that come of a run's own numbers."""

import html
from collections.abc import Mapping
from typing import Any

from dftk.evaluation.pages.html_parts import interval, percent, picture, score_table, table, title
from dftk.evaluation.stats import metrics
from dftk.evaluation.stats.formatting import number
from dftk.models.config import THRESHOLD
from dftk.runs.results import VALID_METRICS, chooses_by_held_out, read_valid
from dftk.runs.workdir import Workdir


def cards(summary: Mapping[str, Any]) -> str:
    """The pooled scores, large, each with its interval and its spread over the folds."""
    result = []
    count = len(summary["folds"])
    for name in metrics.SCORES:
        mean, std = summary["mean"][name], summary["std"][name]
        result.append(
            f"<div class='card'><div class='name'>{title(name)}</div>"
            f"<div class='value'>{percent(name, summary['pooled'][name])}</div>"
            f"<div class='spread'>95 %: {interval(summary['intervals']['pooled'][name])}</div>"
            f"<div class='spread'>{_spread(name, mean, std, count)}</div></div>"
        )
    return "\n".join(result)


def _spread(name: str, mean: float | None, std: float | None, folds: int) -> str:
    if folds == 1:
        return "one fold"
    return f"folds {percent(name, mean)} ± {percent(name, std)}"


def held_out(summary: Mapping[str, Any]) -> str:
    """Scores per fold and pooled: at the usual threshold, then those that need none."""
    rows = [(str(entry["fold"]), entry) for entry in summary["folds"]]
    if len(rows) > 1:
        rows += [("mean", summary["mean"]), ("± std", summary["std"])]
        rows += [("pooled", summary["pooled"])]
    rows.append(("95 % interval", summary["intervals"]["pooled"]))
    strong = len(summary["folds"])
    return _never(summary["pooled"]) + _both_tables("fold", rows, strong)


def chosen(config: Mapping[str, Any]) -> str:
    """What the held-out fold had a say in: a sentence on a config as config.json holds it."""
    if chooses_by_held_out(config):
        return (
            "The same fold chose that model's epoch or learning rates, so these figures lean to "
            "the bright side; the untouched split <code>valid</code> does not."
        )
    return "The run fixed epochs and learning rates beforehand: that fold chose none of them."


def _never(entry: Mapping[str, Any]) -> str:
    """A warning of decisions that are always the same."""
    (tn, fp), (fn, tp) = entry["confusion_matrix"]
    if tp + fp and tn + fn:
        return ""
    only, never = ("fake", "real") if tp + fp else ("real", "fake")
    undefined = "" if tp + fp else "; precision is then undefined, and shown as 0"
    return (
        f"<p class='note'>At {THRESHOLD} every image is called {only} and none {never}{undefined}. "
        "Accuracy says nothing here; AUC and the chosen threshold do.</p>"
    )


def _both_tables(first: str, rows: list[tuple[str, Any]], strong: int) -> str:
    rankings = score_table(first, rows, strong, metrics.RANKINGS)
    return (
        f"{score_table(first, rows, strong)}"
        f"<p class='soft'>Decisions at probability {THRESHOLD}. Without a threshold:</p>{rankings}"
    )


def threshold(summary: Mapping[str, Any]) -> str:
    """The chosen threshold and what it is worth."""
    chosen, at_threshold = summary["threshold"], summary["at_threshold"]
    text = (
        f"<p>For new images: <strong>{number(chosen['value'], '.4f')}</strong>, chosen by "
        f"{chosen['criterion']} on the {chosen['chosen_on']}.</p>"
    )
    if not at_threshold:
        return f"{text}<p class='soft'>What it is worth takes a second fold to tell.</p>"
    head = ["fold", "threshold", *(title(name) for name in metrics.DECISIONS)]
    entries = [(str(entry["fold"]), entry) for entry in at_threshold["folds"]]
    body = [
        [name, number(entry.get("threshold"), ".4f") if name != "pooled" else ""]
        + [number(entry[score], ".4f") for score in metrics.DECISIONS]
        for name, entry in [*entries, ("pooled", at_threshold["pooled"])]
    ]
    note = "<p class='soft'>Each fold is decided by the threshold that the other folds chose.</p>"
    return text + table(head, body, strong=len(entries)) + note


def throughput(throughput: Mapping[str, Any]) -> str:
    """Speed per fold and phase."""
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


def valid(workdir: Workdir) -> str:
    """The untouched split, or how to score it."""
    command = f"python -m dftk.evaluate --workdir={html.escape(str(workdir.path))} --split=valid"
    result = read_valid(workdir)
    if result is None:
        words = "Scored by other models than are here now; once more"
        there = (workdir.path / VALID_METRICS).is_file()
        return f"<p>{words if there else 'Not scored yet'}: <code>{command}</code></p>"
    rows = [(f"model of fold {entry['fold']}", entry) for entry in result["folds"]]
    if len(rows) > 1:
        rows.append(("ensemble", result["ensemble"]))
    rows.append(("95 % interval", result["intervals"]["ensemble"]))
    plots = workdir.path / "plots"
    pictures = "".join(
        picture(plots / f"valid_{name}.png", f"{words} on valid")
        for name, words in (
            ("roc", "ROC"),
            ("confusion_matrix", "Confusion matrix"),
            ("reliability", "Calibration"),
        )
    )
    note = f"<p class='soft'>{html.escape(result['shortfall'])}</p>" if result["shortfall"] else ""
    tables = _both_tables("", rows, strong=len(result["folds"]))
    return (
        f"{_never(result['ensemble'])}{tables}{_decided(result)}{note}"
        f"<div class='pair'>{pictures}</div>"
    )


def _decided(result: Mapping[str, Any]) -> str:
    chosen = result["at_threshold"]["ensemble"]
    scores = ", ".join(f"{title(name)} {chosen[name]:.4f}" for name in metrics.DECISIONS)
    value = number(result["threshold"]["value"], ".4f")
    return f"<p>At {value}, the threshold that the folds chose: {scores}.</p>"
