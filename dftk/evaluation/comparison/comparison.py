"""Compares runs on the same held-out folds and on the same untouched split `valid`."""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.comparison import compared_runs
from dftk.evaluation.comparison.compared_runs import Predictions, Run
from dftk.evaluation.stats import intervals, metrics, paired_tests
from dftk.runs.saved_models import load_ensemble
from dftk.runs.workdir import Workdir, training_seconds
from dftk.utils.errors import UsageError

_BATCH, _SIZE, _ROUNDS = 32, 256, 7  # images, pixels of a side and rounds of the speed test


def compare(
    workdirs: Sequence[Workdir],
    data_dir: str | None,
    measure_speed: bool,
    with_valid: bool = True,
) -> tuple[dict[str, Any], list[Run]]:
    """Compares each run with the first.

    Args:
      workdirs: two or more, of runs on one dataset that have a finished fold in common.
      data_dir: TFDS's directory of datasets, if it is not the runs'.
      measure_speed: also measure the inference speed of a model of each run, in turns.
      with_valid: also compare on the untouched split `valid`, if the dataset has one.

    Returns:
      the content of comparison.json (runs, folds, comparisons, notes), and the runs.

    Raises:
      UsageError: a workdir is given twice.
      UserError: the runs did not score the same images.
    """
    if len({workdir.path.resolve() for workdir in workdirs}) < len(workdirs):
        raise UsageError("a workdir is given twice; give each run once")
    folds = compared_runs.common_folds(workdirs)
    notes = compared_runs.notes(workdirs, folds)
    scored = with_valid and compared_runs.score_valid(workdirs, data_dir)
    runs = [
        compared_runs.read(workdir, name, folds, scored)
        for name, workdir in compared_runs.unique_names(workdirs).items()
    ]
    compared_runs.require_same_images(runs)
    speeds = _inference_speeds(runs, folds[0]) if measure_speed else {}
    if with_valid and not scored:
        notes.append("the dataset has no split valid, so that only held-out folds are compared")
    content = {
        "runs": [{**_run_entry(run, folds), **speeds.get(run.name, {})} for run in runs],
        "folds": folds,
        "comparisons": _adjust_p_values([_compare_pair(runs[0], run, folds) for run in runs[1:]]),
        "notes": notes,
    }
    return content, runs


def _run_entry(run: Run, folds: list[int]) -> dict[str, Any]:
    """A run's configuration, cost and scores."""
    record = run.workdir.config()
    config, speed = record["config"], run.workdir.throughput()
    seconds = training_seconds({name: speed[name] for name in map("fold_{}".format, folds)})
    epochs = [row for row in run.workdir.history() if row["fold"] in folds]
    return {
        "name": run.name,
        "workdir": str(run.workdir.path),
        "model": config["model"],
        "image_size": config["image_size"],
        "weights": Path(config["weights"]).name,
        "mixed_precision": config["mixed_precision"],
        "device": record["device"],
        "epochs": len(epochs),
        "training_minutes": seconds / 60,
        "held_out": _scores(run.held_out),
        "valid": _scores(run.valid) if run.valid else None,
    }


def _scores(predictions: Predictions) -> dict[str, Any]:
    labels, probabilities = predictions.labels, predictions.probabilities
    at_chosen = float("nan")
    if np.isfinite(predictions.thresholds).all():
        at_chosen = float(predictions.correct(at_chosen=True).mean())
    return {
        **metrics.binary_metrics(labels, probabilities),
        "accuracy_at_chosen": at_chosen,
        "intervals": intervals.metric_intervals(labels, probabilities),
    }


def _compare_pair(first: Run, second: Run, folds: list[int]) -> dict[str, Any]:
    """The differences, second minus first, and their tests."""
    per_fold = [_fold_scores(first, second, fold) for fold in folds]
    num_folds = first.workdir.config()["config"]["folds"]
    across = {}
    for name in ("accuracy", "auc"):
        one, other = np.array([entry[name] for entry in per_fold]).T
        across[name] = dataclasses.asdict(paired_tests.across_folds(one, other, num_folds))
    return {
        "first": first.name,
        "second": second.name,
        "folds": per_fold,
        "across_folds": across,
        "held_out": _tests(first.held_out, second.held_out),
        "valid": _tests(first.valid, second.valid) if first.valid and second.valid else None,
    }


def _fold_scores(first: Run, second: Run, fold: int) -> dict[str, Any]:
    """Accuracy and AUC of both on one held-out fold."""
    here = first.folds == fold
    both = [
        metrics.binary_metrics(run.held_out.labels[here], run.held_out.probabilities[here])
        for run in (first, second)
    ]
    return {"fold": fold, **{name: [one[name] for one in both] for name in ("accuracy", "auc")}}


def _tests(first: Predictions, second: Predictions) -> dict[str, Any]:
    tests = {
        "accuracy": paired_tests.mcnemar(
            first.correct(at_chosen=False), second.correct(at_chosen=False)
        ),
        "auc": paired_tests.delong(first.labels, first.probabilities, second.probabilities),
    }
    if np.isfinite([first.thresholds, second.thresholds]).all():
        tests["accuracy_at_chosen"] = paired_tests.mcnemar(
            first.correct(at_chosen=True), second.correct(at_chosen=True)
        )
    return {name: dataclasses.asdict(test) for name, test in tests.items()}


def _adjust_p_values(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds p-values that are adjusted for the number of runs, separately for each test."""
    for part in ("across_folds", "held_out", "valid"):
        for name in pairs[0][part] or ():
            tests = [pair[part][name] for pair in pairs]
            for test, p_value in zip(tests, paired_tests.holm([t["p_value"] for t in tests])):
                test["p_value_adjusted"] = p_value
    return pairs


def _inference_speeds(runs: Sequence[Run], fold: int) -> dict[str, dict[str, Any]]:
    """Images per second of one model of each run, measured in turns on one batch; its size."""
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, _SIZE, _SIZE, 3), np.uint8)
    ensembles = {run.name: load_ensemble([run.workdir.model_path(fold)]) for run in runs}
    for ensemble in ensembles.values():
        ensemble(images)  # the first call traces the graph
    seconds: dict[str, list[float]] = {name: [] for name in ensembles}
    for _ in range(_ROUNDS):
        for name, ensemble in ensembles.items():
            start = time.perf_counter()
            ensemble(images)
            seconds[name].append(time.perf_counter() - start)
    return {
        run.name: {
            "inference_images_per_s": _BATCH / statistics.median(seconds[run.name]),
            "parameters": ensembles[run.name].members[0].count_params(),
            "model_mb": run.workdir.model_path(fold).stat().st_size / 1e6,
        }
        for run in runs
    }
