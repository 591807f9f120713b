"""How far a run's scores hold elsewhere: its held-out folds, `valid` and test sets side by side."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.checks import scored_test_sets, shortcuts
from dftk.evaluation.figures import plots
from dftk.evaluation.stats import closed_form, metrics
from dftk.evaluation.stats.formatting import number
from dftk.runs.members import read_current
from dftk.runs.results import read_valid
from dftk.runs.workdir import Workdir
from dftk.utils.files import read_csv

PICTURE = "plots/test_sets_roc.png"
HELD_OUT, VALID = "held-out folds", "valid"
_NAN = float("nan")


@dataclasses.dataclass(frozen=True)
class Scored:
    """One set of predictions and what it is worth; NaN where undefined."""

    name: str
    labels: np.ndarray  # int [n], 0 real, 1 fake
    probabilities: np.ndarray  # float [n], of fake
    scores: Mapping[str, Any]  # as closed_form.scores has them, at the run's threshold
    warnings: Sequence[str]  # in a few words each

    @property
    def average_precision(self) -> float:
        """Of the ranking."""
        return metrics.rankings(self.labels, self.probabilities)["average_precision"]

    @property
    def own_best(self) -> tuple[float, float]:
        """Accuracy at the threshold that suits this very set best, and that threshold."""
        return metrics.best_accuracy(self.labels, self.probabilities)

    def change(self, other: "Scored") -> tuple[float, list[float]]:
        """AUC less that of another set of other images, and its 95 % interval."""
        here, there = self.scores, other.scores
        ends = closed_form.difference(
            here["auc"], here["auc_interval"], there["auc"], there["auc_interval"]
        )
        return here["auc"] - there["auc"], list(ends)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Sets in the order of a table, the run's own first."""

    threshold: float  # that the held-out folds chose; NaN if none was better than chance
    own: Sequence[Scored]  # the held-out folds, and `valid` where it is scored
    tests: Sequence[Scored]

    @property
    def sets(self) -> Sequence[Scored]:
        """All of them."""
        return [*self.own, *self.tests]

    @property
    def reference(self) -> Scored:
        """What test sets are measured by: `valid` where it is scored, else the held-out folds."""
        return self.own[-1]


def compare(workdir: Workdir) -> Comparison:
    """All that the run's models of now have scored.

    Args:
      workdir: of a run whose metrics.json is written.
    """
    summary = json.loads((workdir.path / "metrics.json").read_text())
    value = summary["threshold"]["value"]
    threshold = _NAN if value is None else value
    own = [_held_out(workdir, summary, threshold)]
    if read_valid(workdir) is not None:
        rows = read_csv(workdir.path / "valid_predictions.csv")
        own.append(_scored(VALID, rows, threshold, []))
    tests = []
    for folder in folders(workdir):
        if (result := read_current(workdir, folder / scored_test_sets.METRICS)) is not None:
            name = f"{scored_test_sets.FOLDER}/{folder.name}"  # one of the own has no slash
            rows = read_csv(folder / scored_test_sets.PREDICTIONS)
            tests.append(_scored(name, rows, threshold, _warnings(result)))
    return Comparison(threshold, own, tests)


def folders(workdir: Workdir) -> list[Path]:
    """tests/NAME of all test sets, sorted, whichever models scored them."""
    found = (workdir.path / scored_test_sets.FOLDER).glob(f"*/{scored_test_sets.METRICS}")
    return sorted(path.parent for path in found if not path.parent.name.startswith("."))


def _held_out(workdir: Workdir, summary: Mapping[str, Any], threshold: float) -> Scored:
    """Decided, unlike the others, by thresholds that each fold had no say in."""
    audit = workdir.path / shortcuts.FILE
    found = shortcuts.beating_chance(json.loads(audit.read_text())) if audit.is_file() else {}
    scored = _scored(HELD_OUT, workdir.predictions(), threshold, _differing(found))
    accuracy, interval = _NAN, (_NAN, _NAN)
    if decided := summary["at_threshold"]:
        (tn, _), (_, tp) = decided["pooled"]["confusion_matrix"]
        accuracy = decided["pooled"]["accuracy"]
        interval = closed_form.share(tn + tp, decided["pooled"]["n"])
    scores = {**scored.scores, "accuracy": accuracy, "accuracy_interval": list(interval)}
    return dataclasses.replace(scored, scores=scores)


def _scored(
    name: str, rows: Sequence[Mapping[str, Any]], threshold: float, warnings: list[str]
) -> Scored:
    labels = np.array([row["label"] for row in rows])
    probabilities = np.array([row["probability"] for row in rows])
    scores = closed_form.scores(labels, probabilities, threshold)
    if np.isnan(threshold):
        scores = {**scores, "accuracy": _NAN, "accuracy_interval": [_NAN, _NAN]}
    return Scored(name, labels, probabilities, scores, warnings)


def _warnings(result: Mapping[str, Any]) -> list[str]:
    """The notes of a test set, short enough to stand in a table."""
    (tn, fp), (fn, tp) = result["ensemble"]["confusion_matrix"]
    found = [
        f"no {name} image" for count, name in ((tn + fp, "real"), (fn + tp, "fake")) if not count
    ]
    if result["in_training"]:
        found.append(f"training images: {len(result['in_training']):,}")
    elif result["in_training"] is None:
        found.append("not compared with training images")
    if result["broken"]:
        found.append(f"unreadable: {len(result['broken']):,}")
    return found + _differing(result.get("shortcuts") or {})  # sets of before have none


def _differing(groups: Mapping[str, float]) -> list[str]:
    return [f"shortcut: {name}" for name in groups]


def draw(workdir: Workdir) -> None:
    """The ROC curve of each set over one another; none without a test set that has one."""
    found = compare(workdir)
    curves = {
        one.name: (one.labels, one.probabilities, one.scores["auc"])
        for one in found.sets
        if not np.isnan(one.scores["auc"])
    }
    if found.tests:
        plots.roc(workdir.path / PICTURE, curves, bold=found.reference.name)


def lines(found: Comparison) -> str:
    """A line for each set, for a terminal."""
    width = max(len(one.name) for one in found.sets)
    result = [f"{'':{width}}{'n':>8}{'AUC':>7}{'':17}{'AP':>7}{'accuracy':>10}{'own best':>10}"]
    for one in found.sets:
        span = ", ".join(number(end, ".3f") for end in one.scores["auc_interval"])
        auc, precision, accuracy, best = (
            number(value, ".3f")
            for value in (
                one.scores["auc"], one.average_precision, one.scores["accuracy"], one.own_best[0]
            )
        )  # fmt: skip
        result.append(
            f"{one.name:{width}}{one.scores['n']:8,}{auc:>7} {f'[{span}]':16}{precision:>7}"
            f"{accuracy:>10}{best:>10}  {'; '.join(one.warnings)}".rstrip()
        )
    return "\n".join([*result, _explained(found)])


def _explained(found: Comparison) -> str:
    return (
        f"accuracy: at {number(found.threshold, '.4f')}, which the held-out folds chose (there: "
        "each by the others' choice); own best: at a threshold chosen on the set itself, no figure "
        "to expect of new images"
    )
