"""Pieces of HTML that the pages of a run are made of."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.evaluation.stats import metrics
from dftk.evaluation.stats.formatting import number

# The look of all pages, inside each of them.
STYLE = Path(__file__).with_name("pages.css").read_text(encoding="utf-8")
_TITLES = {
    "f1": "F1",
    "auc": "AUC",
    "average_precision": "average precision",
    "eer": "EER",
    "tpr_at_1pct_fpr": "TPR at 1 % FPR",
    "ece": "ECE",
}


def score_table(
    first: str,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    strong: int,
    names: Sequence[str] = metrics.SCORES,
) -> str:
    """A row of scores for each named set of predictions.

    Args:
      first: head of the first column.
      rows: name, and scores by theirs; a score may be an interval, [low, high].
      strong: rows from here on are set apart.
      names: of the scores to show.
    """
    head = [first, "n", *(title(name) for name in names)]
    body = [
        [name, f"{entry['n']:,}" if "n" in entry else ""]
        + [interval(entry[score]) for score in names]
        for name, entry in rows
    ]
    return table(head, body, strong)


def interval(value: Any) -> str:
    """A score with four digits; an interval as its two ends, with three."""
    if isinstance(value, Sequence):
        return " – ".join(number(end, ".3f") for end in value)
    return number(value, ".4f")


def table(head: Sequence[str], body: Sequence[Sequence[str]], strong: int | None = None) -> str:
    """An HTML table of cells that are HTML already; rows from `strong` on are set apart."""
    lines = ["<table><thead><tr>", *(f"<th>{cell}</th>" for cell in head), "</tr></thead><tbody>"]
    for position, row in enumerate(body):
        mark = " class='sum'" if strong is not None and position >= strong else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return f"<div class='scroll'>{''.join(lines)}</tbody></table></div>"


def picture(path: Path, text: str) -> str:
    """A PNG file as an <img> that holds it; `text` says what it shows to who cannot see it."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<img alt='{html.escape(text)}' src='data:image/png;base64,{data}'>"


def title(name: str) -> str:
    """A metric's name as people write it."""
    return _TITLES.get(name, name)


def percent(name: str, value: float | None) -> str:
    """A share in percent; AUC as the number it is."""
    return number(value, ".4f" if name == "auc" else ".2%")
