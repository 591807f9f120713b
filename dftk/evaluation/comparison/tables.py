"""A comparison of runs as rows of cells and as sentences, for the page and for a terminal."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dftk.evaluation.pages.formatting import metric_name, number, score

SETS = {"valid": "valid", "held_out": "held-out folds"}
_TESTS = {
    "accuracy": "accuracy",
    "accuracy_at_chosen": "accuracy at the chosen threshold",
    "auc": "AUC",
}
_DIFFERENCE_HEAD = ("difference", "95 % interval", "p")
_FOLD_SCORES = ("accuracy", "auc")

Table = Sequence[Sequence[str]]  # rows of cells; the first row is the head

# The rows on a run itself: name, and the text of each run's cell.
_ROWS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "model": lambda run: f"{run['model']}, {run['image_size']} px",
    "weights": lambda run: run["weights"],
    "parameters": lambda run: _optional(run, "parameters", ",d"),
    "model file, MB": lambda run: _optional(run, "model_mb", ".1f"),
    "epochs trained, all folds": lambda run: str(run["epochs"]),
    "training, minutes, all folds": lambda run: number(run["training_minutes"], ",.1f"),
    "inference, img/s": lambda run: _optional(run, "inference_images_per_s", ",.1f"),
}
_SCORES = ("accuracy", "f1", "auc", "average_precision", "eer", "tpr_at_1pct_fpr", "ece")


def runs_table(content: Mapping[str, Any]) -> Table:
    """A column for each run: what it is, what it took to train, its scores."""
    runs = content["runs"]
    rows = [["", *(run["name"] for run in runs)]]
    rows += [[name, *(text(run) for run in runs)] for name, text in _ROWS.items()]
    for part, words in SETS.items():
        if runs[0][part]:
            rows.append([f"{words}: images", *(f"{run[part]['n']:,}" for run in runs)])
            for name in _SCORES:
                cells = (_with_interval(run[part], name) for run in runs)
                rows.append([f"{words}: {metric_name(name)}", *cells])
    return rows


def _optional(run: Mapping[str, Any], name: str, style: str) -> str:
    return format(run[name], style) if name in run else "not measured"


def _with_interval(scores: Mapping[str, Any], name: str) -> str:
    value, ends = number(scores[name], ".4f"), scores["intervals"][name]
    return f"{value} [{score(ends)}]" if ends else value


def differences_table(pair: Mapping[str, Any]) -> Table:
    """The differences of two runs: each with its 95 % interval and p-value."""
    rows = [[f"{pair['second']} minus {pair['first']}", *_DIFFERENCE_HEAD]]
    for part, words in SETS.items():
        for name, test in _TESTS.items():
            if pair[part] and name in pair[part]:
                rows.append([f"{words}: {test}", *difference(pair[part][name])])
    for name in _FOLD_SCORES:
        rows.append([f"mean over folds: {_TESTS[name]}", *difference(pair["across_folds"][name])])
    return rows


def folds_table(pair: Mapping[str, Any]) -> Table:
    """The scores of two runs on each held-out fold, and their differences."""
    names = (pair["first"], pair["second"])
    columns = [f"{_TESTS[score]}, {name}" for score in _FOLD_SCORES for name in names]
    rows = [["fold", *columns, *(f"difference in {_TESTS[score]}" for score in _FOLD_SCORES)]]
    for entry in pair["folds"]:
        values = [number(value, ".4f") for score in _FOLD_SCORES for value in entry[score]]
        gaps = [_signed(entry[score][1] - entry[score][0]) for score in _FOLD_SCORES]
        rows.append([str(entry["fold"]), *values, *gaps])
    return rows


def difference(test: Mapping[str, Any]) -> list[str]:
    """The cells of one test: difference, 95 % interval, p."""
    ends = f"[{_signed(test['low'])}, {_signed(test['high'])}]"
    return [_signed(test["value"]), ends, p_value(test["p_value_adjusted"])]


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.4f}"


def p_value(value: float) -> str:
    """A p-value with two significant digits; a dash if there is none."""
    if math.isnan(value):
        return "–"
    return "< 1e-16" if value < 1e-16 else f"{value:.2g}"


def verdicts(pair: Mapping[str, Any]) -> list[str]:
    """Two sentences: which run, if any, is better by AUC, and which by its decisions."""
    part = "valid" if pair["valid"] else "held_out"
    decisions = "accuracy_at_chosen" if "accuracy_at_chosen" in pair[part] else "accuracy"
    return [_better(pair, part, name) for name in ("auc", decisions)]


def _better(pair: Mapping[str, Any], part: str, name: str) -> str:
    test, what = pair[part][name], _TESTS[name]
    better, worse = pair["second"], pair["first"]
    if math.isnan(test["value"]):
        return f"On {SETS[part]}, {what} is undefined, since a class is missing."
    if not test["p_value_adjusted"] < 0.05:
        return (
            f"On {SETS[part]}, no difference in {what} is shown between {better} and {worse}: "
            f"{_signed(test['value'])}, 95 % interval {_signed(test['low'])} to "
            f"{_signed(test['high'])}, p {p_value(test['p_value_adjusted'])}."
        )
    if test["value"] < 0:
        better, worse = worse, better
    low, high = sorted((abs(test["low"]), abs(test["high"])))
    return (
        f"On {SETS[part]}, {better} has the higher {what} than {worse}, by "
        f"{abs(test['value']):.4f} (95 % interval {low:.4f} to {high:.4f}, p "
        f"{p_value(test['p_value_adjusted'])})."
    )


def text(content: Mapping[str, Any]) -> str:
    """The comparison for a terminal."""
    blocks = [_aligned(runs_table(content))]
    for pair in content["comparisons"]:
        blocks += [_aligned(differences_table(pair)), "\n".join(verdicts(pair))]
    return "\n\n".join(blocks)


def _aligned(rows: Table) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )
