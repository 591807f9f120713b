"""Runs compared on the same images: the same held-out folds, the same untouched `valid`."""

import dataclasses
import statistics as middle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.evaluation.comparison import compared_runs
from dftk.evaluation.comparison.compared_runs import Run, Scored
from dftk.evaluation.stats import intervals, metrics, paired_tests
from dftk.runs.saved_models import load_ensemble
from dftk.runs.workdir import Workdir, training_seconds
from dftk.utils.errors import UsageError

_BATCH, _SIZE, _ROUNDS = 32, 256, 7  # of the measurement of inference


def compare(
    workdirs: Sequence[Workdir],
    data_dir: str | None,
    measure_speed: bool,
    with_valid: bool = True,
) -> tuple[dict[str, Any], list[Run]]:
    """Compares each run with the first.

    Args:
      workdirs: two or more, of runs on one dataset with a finished fold in common.
      data_dir: TFDS's directory of datasets, if not the runs'.
      measure_speed: runs a model of each, by turns.
      with_valid: also on the untouched split `valid`, if the dataset has one.

    Returns:
      runs, folds, comparisons, notes (the content of comparison.json); and the runs themselves.

    Raises:
      UsageError: one workdir is given twice.
      UserError: runs that have not scored the same images.
    """
    if len({workdir.path.resolve() for workdir in workdirs}) < len(workdirs):
        raise UsageError("one workdir is given twice; each is compared with the first")
    folds = compared_runs.common_folds(workdirs)
    notes = compared_runs.notes(workdirs, folds)
    scored = with_valid and compared_runs.score_valid(workdirs, data_dir)
    runs = [
        compared_runs.read(workdir, name, folds, scored)
        for name, workdir in compared_runs.named(workdirs).items()
    ]
    compared_runs.require_same_images(runs)
    speeds = _inference_speeds(runs, folds[0]) if measure_speed else {}
    if with_valid and not scored:
        notes.append("the dataset has no split valid: held-out folds are all there is to compare")
    content = {
        "runs": [{**_side(run, folds), **speeds.get(run.name, {})} for run in runs],
        "folds": folds,
        "comparisons": _adjusted([_pair(runs[0], run, folds) for run in runs[1:]]),
        "notes": notes,
    }
    return content, runs


def _side(run: Run, folds: list[int]) -> dict[str, Any]:
    """What stands in a run's own column."""
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


def _scores(scored: Scored) -> dict[str, Any]:
    chosen = np.isfinite(scored.thresholds).all()
    return {
        **metrics.binary_metrics(scored.labels, scored.probabilities),
        "accuracy_at_chosen": float(scored.right(True).mean()) if chosen else float("nan"),
        "intervals": intervals.confidence(scored.labels, scored.probabilities),
    }


def _pair(first: Run, second: Run, folds: list[int]) -> dict[str, Any]:
    """Second minus first."""
    per_fold = [_of_fold(first, second, fold) for fold in folds]
    cut_into = first.workdir.config()["config"]["folds"]
    across = {}
    for name in ("accuracy", "auc"):
        one, other = np.array([entry[name] for entry in per_fold]).T
        across[name] = dataclasses.asdict(paired_tests.across_folds(one, other, cut_into))
    return {
        "first": first.name,
        "second": second.name,
        "folds": per_fold,
        "across_folds": across,
        "held_out": _tests(first.held_out, second.held_out),
        "valid": _tests(first.valid, second.valid) if first.valid and second.valid else None,
    }


def _of_fold(first: Run, second: Run, fold: int) -> dict[str, Any]:
    """Accuracy and AUC of both on one held-out fold."""
    here = first.folds == fold
    both = [
        metrics.binary_metrics(run.held_out.labels[here], run.held_out.probabilities[here])
        for run in (first, second)
    ]
    return {"fold": fold, **{name: [one[name] for one in both] for name in ("accuracy", "auc")}}


def _tests(first: Scored, second: Scored) -> dict[str, Any]:
    tests = {
        "accuracy": paired_tests.mcnemar(first.right(False), second.right(False)),
        "auc": paired_tests.delong(first.labels, first.probabilities, second.probabilities),
    }
    if np.isfinite([first.thresholds, second.thresholds]).all():
        tests["accuracy_at_chosen"] = paired_tests.mcnemar(first.right(True), second.right(True))
    return {name: dataclasses.asdict(test) for name, test in tests.items()}


def _adjusted(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds the p-values adjusted for the number of runs, test by test."""
    for part in ("across_folds", "held_out", "valid"):
        for name in pairs[0][part] or ():
            tests = [pair[part][name] for pair in pairs]
            for test, p_value in zip(tests, paired_tests.holm([t["p_value"] for t in tests])):
                test["p_value_adjusted"] = p_value
    return pairs


def _inference_speeds(runs: Sequence[Run], fold: int) -> dict[str, dict[str, Any]]:
    """Images per second of one model of each run, by turns on the same batch; and its size."""
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, _SIZE, _SIZE, 3), np.uint8)
    ensembles = {run.name: load_ensemble([run.workdir.model_path(fold)]) for run in runs}
    for ensemble in ensembles.values():
        ensemble(images)  # traced
    seconds: dict[str, list[float]] = {name: [] for name in ensembles}
    for _ in range(_ROUNDS):
        for name, ensemble in ensembles.items():
            start = time.perf_counter()
            ensemble(images)
            seconds[name].append(time.perf_counter() - start)
    return {
        run.name: {
            "inference_images_per_s": _BATCH / middle.median(seconds[run.name]),
            "parameters": ensembles[run.name].members[0].count_params(),
            "model_mb": run.workdir.model_path(fold).stat().st_size / 1e6,
        }
        for run in runs
    }
