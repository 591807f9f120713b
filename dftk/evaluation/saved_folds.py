"""Scores the saved models of a workdir again: on their held-out folds, or on `valid`."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dftk.datasets import catalog, image_tree
from dftk.evaluation.checks import slices
from dftk.evaluation.figures import plots
from dftk.evaluation.pages import report
from dftk.evaluation.stats import intervals, metrics
from dftk.images import encoded
from dftk.input import residency
from dftk.runs import members as models
from dftk.runs.results import VALID_METRICS
from dftk.runs.saved_models import load_ensemble
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.files import read_csv, write_csv, write_json


def evaluate(workdir: Workdir, split: str, data_dir: str | None) -> dict[str, Any]:
    """Scores a run's models on one split of the dataset they were trained on.

    Args:
      workdir: of a run with at least one finished fold.
      split: "valid" (each model, and all as an ensemble; written to the workdir and its report)
        or "train" (each model on the fold it did not see; nothing is written).
      data_dir: TFDS's directory of datasets, if not the run's.

    Returns:
      metrics, "folds" and "ensemble" for valid, as metrics.json for train.

    Raises:
      UserError: no finished fold, or the dataset is not there or no longer the same.
    """
    config, dataset = open_data(workdir, data_dir)
    folds = workdir.require_folds()
    if split == "train":
        return _held_out(workdir, folds, dataset, config)
    if not dataset.valid:
        raise UserError(f"{dataset.name} was built without a valid split: its tree had none")
    examples = _stream(dataset.valid, config)
    rows = np.arange(len(examples.labels))
    members = load_ensemble([workdir.model_path(fold) for fold in folds]).score(examples, rows)
    result = _write_valid(workdir, folds, examples, members, dataset.shortfall("valid"))
    _slice(workdir, dataset, config)
    report.write(workdir)
    return result


def _slice(workdir: Workdir, dataset: catalog.Catalog, config: Mapping[str, Any]) -> None:
    """Slices and the most wrong images, of `valid` and of the held-out folds."""
    valid = read_csv(workdir.path / "valid_predictions.csv")
    train = residency.limit(dataset.train, config["max_examples"])
    slices.write(workdir.path, "valid_", valid, encoded.from_shards(dataset.valid))
    slices.write(workdir.path, "", workdir.predictions(), encoded.from_shards(train))


def open_data(workdir: Workdir, data_dir: str | None) -> tuple[dict[str, Any], catalog.Catalog]:
    """The run's config, and the dataset it was trained on.

    Args:
      workdir: of a run, finished or not.
      data_dir: TFDS's directory of datasets, if not the run's.

    Raises:
      UserError: no run, or the dataset is not there or no longer the same.
    """
    record = workdir.config()
    config = record["config"]
    data_dir, fingerprint = data_dir or config["data_dir"], record["inputs"]["dataset_fingerprint"]
    if record["inputs"]["dataset"].startswith(f"{image_tree.ImagesBuilder.name}/"):
        # What was built of the images stays when they have changed since, or gone.
        for folder in image_tree.builds(config["dataset"], data_dir):
            with contextlib.suppress(UserError):  # another's; what follows tells of this one's
                dataset = catalog.open_dataset(str(folder), data_dir, config["folds"])
                if dataset.fingerprint() == fingerprint:
                    return config, dataset
    any_size = config.get("stored_size") is not None
    dataset = catalog.open_dataset(config["dataset"], data_dir, config["folds"], any_size=any_size)
    if dataset.fingerprint() != fingerprint:
        raise UserError(
            f"{dataset.name} is not the data that {workdir.path} was trained on: its "
            "folds or records differ, or another version of dftk trained it"
        )
    return config, dataset


def _stream(shards: Sequence[catalog.Shard], config: Mapping[str, Any]) -> residency.Examples:
    """Every image is looked at once: nothing would be gained by keeping its pixels."""
    return residency.open_examples(shards, "none", size=config.get("stored_size"))


def _held_out(
    workdir: Workdir, folds: list[int], dataset: catalog.Catalog, config: Mapping[str, Any]
) -> dict[str, Any]:
    examples = _stream(residency.limit(dataset.train, config["max_examples"]), config)
    predictions = []
    for fold in folds:
        rows = examples.rows([fold])
        (probabilities,) = load_ensemble([workdir.model_path(fold)]).score(examples, rows)
        predictions += [
            # With the digits that predictions.csv has.
            {"fold": fold, "label": label, "probability": float(f"{probability:.9g}")}
            for label, probability in zip(examples.labels[rows], probabilities)
        ]
    return metrics.summarize(predictions)


def _write_valid(
    workdir: Workdir,
    folds: list[int],
    examples: residency.Examples,
    members: np.ndarray,
    shortfall: str,
) -> dict[str, Any]:
    labels, mean = examples.labels, members.mean(axis=0)
    result: dict[str, Any] = {
        "members": models.members(workdir),
        "folds": [
            {"fold": fold, **metrics.binary_metrics(labels, member)}
            for fold, member in zip(folds, members)
        ],
        "ensemble": metrics.binary_metrics(labels, mean),
        "intervals": {**intervals.describe(), "ensemble": intervals.confidence(labels, mean)},
        **decided(workdir, folds, labels, members),
        "shortfall": shortfall,
    }
    columns = ["filename", "label", "probability", *(f"fold_{fold}" for fold in folds)]
    rows = [
        dict(zip(columns, (name, label, *map(float, values))))
        for name, label, *values in zip(examples.filenames, labels, mean, *members)
    ]
    write_csv(workdir.path / "valid_predictions.csv", columns, rows)
    write_json(workdir.path / VALID_METRICS, result)
    folder = workdir.path / "plots"
    curves = {
        f"fold {entry['fold']}": (labels, member, entry["auc"])
        for entry, member in zip(result["folds"], members)
    }
    if len(folds) > 1:
        curves["ensemble"] = (labels, mean, result["ensemble"]["auc"])
    plots.roc(folder / "valid_roc.png", curves, bold="ensemble")
    plots.confusion_matrices(
        folder / "valid_confusion_matrix.png",
        {"ensemble, valid": result["ensemble"]["confusion_matrix"]},
    )
    plots.reliability(folder / "valid_reliability.png", {"ensemble, valid": (labels, mean)})
    return result


def decided(
    workdir: Workdir, folds: list[int], labels: np.ndarray, members: np.ndarray
) -> dict[str, Any]:
    """Decisions at the threshold that the held-out folds chose: the scored set has no say in it.

    Args:
      workdir: of the run.
      folds: of the members.
      labels: int [n], of the scored set.
      members: each model's probabilities of it, float [folds, n].

    Returns:
      threshold, as metrics.chosen_threshold has it; at_threshold: folds and ensemble.
    """
    predictions = workdir.predictions()
    fold = np.array([row["fold"] for row in predictions])
    threshold = metrics.chosen_threshold(fold, *report.columns(predictions))["threshold"]
    value = threshold["value"]
    entries = [
        {"fold": one, **metrics.decisions(labels, member >= value)}
        for one, member in zip(folds, members)
    ]
    ensemble = metrics.decisions(labels, members.mean(axis=0) >= value)
    return {"threshold": threshold, "at_threshold": {"folds": entries, "ensemble": ensemble}}
