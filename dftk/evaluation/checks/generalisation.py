"""Generalisation: a run's scores on its own dataset and on further test sets, in one table."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.checks import shortcuts
from dftk.evaluation.figures import plots
from dftk.evaluation.stats import closed_form, metrics
from dftk.runs import results as run_results
from dftk.runs.results import Results
from dftk.utils.files import columns

PICTURE = "plots/test_sets_roc.png"
HELD_OUT, VALID = "held-out folds", "valid"
_NAN = float("nan")


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredSet:
    """The predictions on one set of images, and their scores. Undefined scores are NaN."""

    name: str
    labels: np.ndarray  # int [n], 0 real, 1 fake
    probabilities: np.ndarray  # float [n], of fake
    scores: Mapping[str, Any]  # as closed_form.scores gives them, at the run's threshold
    average_precision: float
    best_accuracy: float  # at the threshold that suits this very set best
    warnings: Sequence[str]  # a few words each

    def auc_change(self, reference: "ScoredSet") -> tuple[float, list[float]]:
        """This set's AUC minus that of a set of other images, and its 95 % interval."""
        here, there = self.scores, reference.scores
        ends = closed_form.difference_interval(
            here["auc"], here["auc_interval"], there["auc"], there["auc_interval"]
        )
        return here["auc"] - there["auc"], list(ends)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All scored sets of a run, in the order of the table."""

    threshold: float  # chosen on the held-out folds; NaN if no threshold was better than chance
    dataset_sets: Sequence[ScoredSet]  # held-out folds, then `valid` if it is scored
    test_sets: Sequence[ScoredSet]

    @property
    def sets(self) -> Sequence[ScoredSet]:
        """The sets of the run's own dataset, then the test sets."""
        return [*self.dataset_sets, *self.test_sets]

    @property
    def reference(self) -> ScoredSet:
        """The set that test sets are compared with: `valid` if scored, else the held-out folds."""
        return self.dataset_sets[-1]

    def shows_drop(self, test_set: ScoredSet) -> bool:
        """Whether chance does not explain that a test set's AUC is below that of `valid`.

        Held-out folds show no drop: each is scored by one model, which the ensemble outperforms.
        """
        _, (_, high) = test_set.auc_change(self.reference)
        return self.reference.name == VALID and high < 0


def compare(results: Results) -> Comparison:
    """Scores all predictions that the run's present models made.

    Args:
      results: of the run.
    """
    value = results.metrics["threshold"]["value"]
    threshold = _NAN if value is None else value
    dataset_sets = [_held_out(results, threshold)]
    if results.valid is not None:
        dataset_sets.append(_scored(VALID, results.valid_predictions, threshold, []))
    test_sets = [
        # With a slash, which the names of the dataset's own sets lack.
        _scored(f"{run_results.TEST_SETS}/{one.name}", one.predictions, threshold,
                _warnings(one.metrics))
        for one in results.test_sets if one.is_current
    ]  # fmt: skip
    return Comparison(threshold, dataset_sets, test_sets)


def _held_out(results: Results, threshold: float) -> ScoredSet:
    """Each fold's accuracy is at the threshold that the other folds chose."""
    audit = results.shortcuts
    found = {} if audit is None else shortcuts.beating_chance(audit)
    scored = _scored(HELD_OUT, results.predictions, threshold, _shortcut_warnings(found))
    accuracy, interval = _NAN, (_NAN, _NAN)
    if decisions := results.metrics["at_threshold"]:
        pooled = decisions["pooled"]
        (tn, _), (_, tp) = pooled["confusion_matrix"]
        accuracy, interval = (
            pooled["accuracy"],
            closed_form.proportion_interval(tn + tp, pooled["n"]),
        )
    scores = {**scored.scores, "accuracy": accuracy, "accuracy_interval": list(interval)}
    return dataclasses.replace(scored, scores=scores)


def _scored(
    name: str, rows: Sequence[Mapping[str, Any]], threshold: float, warnings: list[str]
) -> ScoredSet:
    labels, probabilities = columns(rows, "label", "probability")
    scores = closed_form.scores(labels, probabilities, threshold)
    if np.isnan(threshold):
        scores = {**scores, "accuracy": _NAN, "accuracy_interval": [_NAN, _NAN]}
    return ScoredSet(
        name=name,
        labels=labels,
        probabilities=probabilities,
        scores=scores,
        average_precision=metrics.ranking_metrics(labels, probabilities)["average_precision"],
        best_accuracy=metrics.best_accuracy(labels, probabilities)[0],
        warnings=warnings,
    )


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
    # Test sets that an old version scored have no `shortcuts`.
    return found + _shortcut_warnings(result.get("shortcuts") or {})


def _shortcut_warnings(groups: Mapping[str, float]) -> list[str]:
    return [f"shortcut: {name}" for name in groups]


def draw(folder: Path, comparison: Comparison) -> None:
    """Draws the ROC curves of all sets in one figure; nothing if there is no scored test set.

    Args:
      folder: the workdir.
      comparison: sets with one class only have no curve.
    """
    if not comparison.test_sets:
        return
    curves = {
        one.name: (one.labels, one.probabilities, one.scores["auc"])
        for one in comparison.sets
        if not np.isnan(one.scores["auc"])
    }
    plots.roc(folder / PICTURE, curves, bold=comparison.reference.name)
