"""A comparison as a table in a terminal, as comparison.json and as one self-contained page."""

import html
import math
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.evaluation.comparison.compared_runs import Run, Scored
from dftk.evaluation.figures import plots
from dftk.evaluation.pages.html_parts import STYLE, interval, picture, table, title
from dftk.evaluation.stats.formatting import number
from dftk.utils.errors import UserError
from dftk.utils.files import write_json, write_text

_TEMPLATE = Path(__file__).with_name("comparison_template.html")
_SETS = {"valid": "valid", "held_out": "held-out folds"}
_TESTS = {
    "accuracy": "accuracy",
    "accuracy_at_chosen": "accuracy at the chosen threshold",
    "auc": "AUC",
}

# What stands in each run's column: a name, and the text of it.
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


def write(folder: Path, content: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """Writes comparison.json, comparison.html and its pictures.

    Raises:
      UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "comparison.json", content)
        roc = ""
        for name, words in _SETS.items():
            if curves := _curves(content, runs, name):
                plots.roc(folder / f"roc_{name}.png", curves, bold="")
                roc += picture(folder / f"roc_{name}.png", f"ROC on {words}")
        write_text(folder / "comparison.html", _page(content, roc))
    except OSError as error:
        raise UserError(f"{folder}: cannot write there ({error.strerror})") from None


def _curves(content: Mapping[str, Any], runs: Sequence[Run], name: str) -> plots.Curves:
    curves = {}
    for run, side in zip(runs, content["runs"]):
        scored: Scored | None = getattr(run, name)
        if scored:
            label = f"{run.name}, {_SETS[name]}"
            curves[label] = (scored.labels, scored.probabilities, side[name]["auc"])
    return curves


def _optional(run: Mapping[str, Any], name: str, style: str) -> str:
    return format(run[name], style) if name in run else "not measured"


def _sides(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Rows of cells: a name, then each run's."""
    rows = [[name, *(text(run) for run in runs)] for name, text in _ROWS.items()]
    for part, words in _SETS.items():
        if runs[0][part]:
            rows.append([f"{words}: images", *(f"{run[part]['n']:,}" for run in runs)])
            for name in _SCORES:
                rows.append(
                    [f"{words}: {title(name)}", *(_with_interval(r[part], name) for r in runs)]
                )
    return rows


def _with_interval(scores: Mapping[str, Any], name: str) -> str:
    value, ends = number(scores[name], ".4f"), scores["intervals"][name]
    return f"{value} [{interval(ends)}]" if ends else value


def differences(pair: Mapping[str, Any]) -> list[list[str]]:
    """Rows of cells: what, difference, 95 % interval, p."""
    rows = []
    for part, words in _SETS.items():
        for name, test in _TESTS.items():
            if pair[part] and name in pair[part]:
                rows.append([f"{words}: {test}", *difference(pair[part][name])])
    for name in ("accuracy", "auc"):
        rows.append([f"mean over folds: {_TESTS[name]}", *difference(pair["across_folds"][name])])
    return rows


def difference(test: Mapping[str, Any]) -> list[str]:
    """Cells of one test: difference, 95 % interval, p."""
    ends = f"[{_signed(test['low'])}, {_signed(test['high'])}]"
    return [_signed(test["value"]), ends, p_value(test["p_value_adjusted"])]


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.4f}"


def p_value(value: float) -> str:
    """With two digits that count; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return "< 1e-16" if value < 1e-16 else f"{value:.2g}"


def verdicts(pair: Mapping[str, Any]) -> list[str]:
    """In a sentence each, which of two runs is better by AUC and by its decisions, if either is."""
    part = "valid" if pair["valid"] else "held_out"
    decisions = "accuracy_at_chosen" if "accuracy_at_chosen" in pair[part] else "accuracy"
    return [_better(pair, part, name) for name in ("auc", decisions)]


def _better(pair: Mapping[str, Any], part: str, name: str) -> str:
    test, what = pair[part][name], _TESTS[name]
    better, worse = pair["second"], pair["first"]
    if math.isnan(test["value"]):
        return f"On {_SETS[part]}, {what} is not defined: a class is missing."
    if not test["p_value_adjusted"] < 0.05:
        return (
            f"On {_SETS[part]}, no difference in {what} is shown between {better} and {worse}: "
            f"{_signed(test['value'])}, 95 % interval {_signed(test['low'])} to "
            f"{_signed(test['high'])}, p {p_value(test['p_value_adjusted'])}."
        )
    if test["value"] < 0:
        better, worse = worse, better
    low, high = sorted((abs(test["low"]), abs(test["high"])))
    return (
        f"On {_SETS[part]}, {better} has the higher {what} than {worse}, by "
        f"{abs(test['value']):.4f} (95 % interval {low:.4f} to {high:.4f}, p "
        f"{p_value(test['p_value_adjusted'])})."
    )


def text(content: Mapping[str, Any]) -> str:
    """The comparison for a terminal."""
    blocks = [_aligned([["", *(run["name"] for run in content["runs"])], *_sides(content["runs"])])]
    for pair in content["comparisons"]:
        head = [f"{pair['second']} minus {pair['first']}", "difference", "95 % interval", "p"]
        blocks += [_aligned([head, *differences(pair)]), "\n".join(verdicts(pair))]
    return "\n\n".join(blocks)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )


def _page(content: Mapping[str, Any], roc: str) -> str:
    runs, pairs = content["runs"], content["comparisons"]
    names = [run["name"] for run in runs]
    folds = ", ".join(map(str, content["folds"]))
    sentences = [sentence for pair in pairs for sentence in verdicts(pair)]
    notes = "".join(f"<p class='soft'>{html.escape(note)}</p>" for note in content["notes"])
    return string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        style=STYLE,
        title=html.escape(" and ".join(names)),
        subtitle=f"Folds {folds}; the others are compared with {html.escape(names[0])}",
        verdict="".join(f"<p><strong>{html.escape(one)}</strong></p>" for one in sentences),
        sides=_table([["", *names], *_sides(runs)]),
        notes=notes,
        differences="".join(
            _table([[f"{pair['second']} minus {pair['first']}", *_HEAD], *differences(pair)])
            for pair in pairs
        ),
        roc=roc,
        folds="".join(_table(_fold_rows(pair)) for pair in pairs),
    )


_HEAD = ("difference", "95 % interval", "p")


def _fold_rows(pair: Mapping[str, Any]) -> list[list[str]]:
    first, second = pair["first"], pair["second"]
    scores = ("accuracy", "auc")
    columns = [f"{_TESTS[score]}, {name}" for score in scores for name in (first, second)]
    rows = [["fold", *columns, *(f"difference in {_TESTS[score]}" for score in scores)]]
    for entry in pair["folds"]:
        values = [number(value, ".4f") for score in scores for value in entry[score]]
        gaps = [_signed(entry[score][1] - entry[score][0]) for score in scores]
        rows.append([str(entry["fold"]), *values, *gaps])
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [[html.escape(cell) for cell in row] for row in rows]
    return table(head, body)
