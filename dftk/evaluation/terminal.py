"""The tables that commands print: one line of text for each row."""

from collections.abc import Mapping, Sequence
from typing import Any

from dftk.evaluation.checks.generalisation import Comparison
from dftk.evaluation.pages.formatting import number
from dftk.evaluation.stats import metrics


def fold_table(summary: Mapping[str, Any]) -> str:
    """The scores of each fold; with several folds also their mean, std and joint scores.

    Args:
      summary: the content of metrics.json or valid_metrics.json.
    """
    rows = [(f"fold {entry['fold']}", entry) for entry in summary["folds"]]
    if len(rows) > 1:
        joint = ("mean", "std", "pooled", "ensemble")
        rows += [(name, summary[name]) for name in joint if name in summary]
    lines = [f"{'':10}{'n':>7}" + "".join(f"{name:>11}" for name in metrics.SCORES)]
    for name, entry in rows:
        scores = "".join(f"{entry[score]:11.4f}" for score in metrics.SCORES)
        lines.append(f"{name:10}{entry.get('n', ''):>7}{scores}")
    return "\n".join(lines)


def test_set_table(comparison: Comparison) -> str:
    """The scores of each set of a run: its own dataset's sets, then the test sets."""
    width = max(len(one.name) for one in comparison.sets)
    lines = [f"{'':{width}}{'n':>8}{'AUC':>7}{'':17}{'AP':>7}{'accuracy':>10}{'best':>10}"]
    for one in comparison.sets:
        span = ", ".join(number(end, ".3f") for end in one.scores["auc_interval"])
        auc, precision, accuracy, best = (
            number(value, ".3f")
            for value in (
                one.scores["auc"], one.average_precision, one.scores["accuracy"], one.best_accuracy
            )
        )  # fmt: skip
        lines.append(
            f"{one.name:{width}}{one.scores['n']:8,}{auc:>7} {f'[{span}]':16}{precision:>7}"
            f"{accuracy:>10}{best:>10}  {'; '.join(one.warnings)}".rstrip()
        )
    lines.append(
        f"accuracy: at {number(comparison.threshold, '.4f')}, the threshold that the held-out "
        "folds chose (each held-out fold: at the threshold that the other folds chose); best: the "
        "accuracy at a threshold chosen on the set itself, not to be expected of new images"
    )
    return "\n".join(lines)


def robustness_table(result: Mapping[str, Any]) -> str:
    """The scores at each level of each perturbation.

    Args:
      result: the content of robustness.json.
    """
    lines = [f"{'':22}{'level':>7}{'accuracy':>10}{'':17}{'AUC':>7}{'':17}{'called fake':>12}"]
    entries = [("", {"level": "clean", **result["clean"]})] + [
        (panel["title"], level)
        for panel in result["perturbations"].values()
        for level in panel["levels"]
    ]
    for title, entry in entries:
        accuracy, auc = (_interval(entry[f"{name}_interval"]) for name in ("accuracy", "auc"))
        lines.append(
            f"{title:22}{entry['level']:>7}{entry['accuracy']:10.3f} {accuracy:16}"
            f"{entry['auc']:7.3f} {auc:16}{entry['called_fake']:12.3f}"
        )
    return "\n".join(lines)


def shortcut_table(result: Mapping[str, Any]) -> str:
    """The AUC of each group of file features, and the verdict.

    Args:
      result: the content of shortcuts.json.
    """
    lines = [f"{'feature group':20}{'linear AUC':>12}{'':17}{'trees AUC':>10}{'':17}"]
    for name, group in result["groups"].items():
        if group["constant"]:
            lines.append(f"{name:20}the same in all files")
            continue
        cells = "".join(
            f"{group[kind]['auc']:12.3f} {_interval(group[kind]['auc_interval']):16}"
            for kind in ("linear", "trees")
        )
        lines.append(f"{name:20}{cells}{'  WARNING' if name in result['found'] else ''}".rstrip())
    return "\n".join([*lines, result["verdict"]])


def _interval(ends: Sequence[float]) -> str:
    low, high = ends
    return f"[{low:.3f}, {high:.3f}]"
