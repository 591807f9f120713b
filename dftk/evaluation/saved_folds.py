"""Scores the saved models of a workdir: on the untouched split `valid`, or on held-out folds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dftk.datasets import catalog, image_tree
from dftk.evaluation.checks import slices
from dftk.evaluation.figures import ensemble_plots, plots
from dftk.evaluation.pages import report
from dftk.evaluation.stats import ensemble_metrics, metrics
from dftk.images import encoded
from dftk.input import residency
from dftk.runs.members import member_digests
from dftk.runs.results import VALID_METRICS, VALID_PREDICTIONS, VALID_PREFIX, Row
from dftk.runs.saved_models import load_ensemble
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.files import columns, read_csv, write_csv, write_json


def evaluate(workdir: Workdir, split: str, data_dir: str | None) -> dict[str, Any]:
    """Scores a run's models on one split of the dataset they were trained on.

    Args:
      workdir: of a run with at least one finished fold.
      split: "valid" scores each model and the ensemble, and writes the results and the report;
        "train" scores each model on the fold that it did not train on, and writes nothing.
      data_dir: TFDS's directory of datasets, if it is not the run's.

    Returns:
      the content of valid_metrics.json for "valid", that of metrics.json for "train".

    Raises:
      UserError: no fold is finished, or the dataset is missing or has changed.
    """
    config, dataset = open_data(workdir, data_dir)
    folds = workdir.require_folds()
    if split == "train":
        return _held_out(workdir, folds, dataset, config)
    require_valid(dataset)
    examples = _open_uncached(dataset.valid, config)
    rows = np.arange(len(examples.labels))
    members = load_ensemble([workdir.model_path(fold) for fold in folds]).score(examples, rows)
    predictions = workdir.predictions()
    result = _write_valid(
        workdir,
        folds=folds,
        examples=examples,
        members=members,
        threshold=chosen_threshold(predictions),
        shortfall=dataset.shortfall("valid"),
    )
    # Read back, as the slices are made from probabilities with the nine digits of the file.
    valid_predictions = read_csv(workdir.path / VALID_PREDICTIONS)
    train = residency.limit_examples(dataset.train, config["max_examples"])
    path = workdir.path
    slices.write(path, VALID_PREFIX, valid_predictions, encoded.from_shards(dataset.valid))
    slices.write(path, "", predictions, encoded.from_shards(train))
    report.write(workdir)
    return result


def open_data(workdir: Workdir, data_dir: str | None) -> tuple[dict[str, Any], catalog.Catalog]:
    """Opens the dataset that a run was trained on.

    Args:
      workdir: of a run, finished or not.
      data_dir: TFDS's directory of datasets, if it is not the run's.

    Returns:
      the run's config, by field; the dataset.

    Raises:
      UserError: there is no run, or the dataset is missing or has changed.
    """
    record = workdir.config()
    config = record["config"]
    data_dir, fingerprint = data_dir or config["data_dir"], record["inputs"]["dataset_fingerprint"]
    damaged = ""
    if record["inputs"]["dataset"].startswith(f"{image_tree.ImagesBuilder.name}/"):
        # The built dataset remains when the images have changed or are gone.
        for folder in image_tree.builds(config["dataset"], data_dir):
            try:
                dataset = catalog.open_dataset(str(folder), data_dir, config["folds"])
            except UserError as error:  # another build may be the run's
                damaged += f"; a build cannot be opened: {error}"
                continue
            if dataset.fingerprint() == fingerprint:
                return config, dataset
    any_size = config.get("stored_size") is not None
    try:
        dataset = catalog.open_dataset(
            config["dataset"], data_dir, config["folds"], any_size=any_size
        )
    except UserError as error:
        if not damaged:
            raise
        raise UserError(f"{error}{damaged}") from error
    if dataset.fingerprint() != fingerprint:
        raise UserError(
            f"{dataset.name} is not the data that {workdir.path} was trained on: its folds or "
            f"records differ, or another version of dftk trained the run{damaged}"
        )
    return config, dataset


def require_valid(dataset: catalog.Catalog) -> None:
    """Raises UserError if the dataset has no split `valid`."""
    if not dataset.valid:
        raise UserError(f"{dataset.name} was built without a split valid: its source had none")


def _open_uncached(
    shards: Sequence[catalog.Shard], config: Mapping[str, Any]
) -> residency.Examples:
    """Opens records without a cache, since each image is used once."""
    return residency.open_examples(shards, "none", size=config.get("stored_size"))


def _held_out(
    workdir: Workdir, folds: list[int], dataset: catalog.Catalog, config: Mapping[str, Any]
) -> dict[str, Any]:
    examples = _open_uncached(
        residency.limit_examples(dataset.train, config["max_examples"]), config
    )
    predictions = []
    for fold in folds:
        rows = examples.rows([fold])
        (probabilities,) = load_ensemble([workdir.model_path(fold)]).score(examples, rows)
        predictions += [
            # Rounded to the nine digits of predictions.csv.
            {"fold": fold, "label": label, "probability": float(f"{probability:.9g}")}
            for label, probability in zip(examples.labels[rows], probabilities)
        ]
    return metrics.summarize(predictions)


def _write_valid(
    workdir: Workdir,
    *,
    folds: list[int],
    examples: residency.Examples,
    members: np.ndarray,
    threshold: Mapping[str, Any],
    shortfall: str,
) -> dict[str, Any]:
    """Writes valid_predictions.csv, valid_metrics.json and their figures; returns the metrics."""
    labels, mean = examples.labels, members.mean(axis=0)
    result: dict[str, Any] = {
        "members": member_digests(workdir),
        **ensemble_metrics.summarize(
            folds=folds, labels=labels, members=members, mean=mean, threshold=threshold
        ),
        "shortfall": shortfall,
    }
    names = ["filename", "label", "probability", *(f"fold_{fold}" for fold in folds)]
    rows = [
        dict(zip(names, (name, label, *map(float, values))))
        for name, label, *values in zip(examples.filenames, labels, mean, *members)
    ]
    write_csv(workdir.path / VALID_PREDICTIONS, names, rows)
    write_json(workdir.path / VALID_METRICS, result)
    folder = workdir.path / "plots"
    ensemble_plots.draw(
        folder, "valid", result, labels=labels, members=members, mean=mean, prefix=VALID_PREFIX
    )
    plots.reliability(folder / "valid_reliability.png", {"ensemble, valid": (labels, mean)})
    return result


def chosen_threshold(predictions: Sequence[Row]) -> dict[str, Any]:
    """The threshold that a run's held-out predictions choose, as metrics.chosen_threshold has it.

    Args:
      predictions: with fold, label, probability.
    """
    fold, label, probability = columns(predictions, "fold", "label", "probability")
    return metrics.chosen_threshold(fold, label, probability)["threshold"]
