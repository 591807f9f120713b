"""The audits of a run, each from its workdir to files and lines for a terminal."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dftk.evaluation.checks import given_test_sets, robustness, scored_test_sets, shortcuts
from dftk.evaluation.pages import report
from dftk.evaluation.saved_folds import decided, open_data
from dftk.images import encoded
from dftk.input import residency
from dftk.input.shards import Shard
from dftk.runs import members as models
from dftk.runs.saved_models import Ensemble, load_ensemble
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UsageError, UserError


def score_sets(
    workdir: Workdir, sets: Mapping[str, encoded.Folder], data_dir: str | None
) -> dict[str, dict[str, Any]]:
    """Scores folders of `real/` and `fake/` by all finished folds and writes tests/NAME of each.

    Args:
      workdir: of a run with at least one finished fold.
      sets: by name, as given_test_sets.open_sets gives them.
      data_dir: TFDS's directory of datasets, if not the run's; the training images are there.

    Returns:
      metrics.json's content by name: folds, ensemble, intervals, threshold, at_threshold as
      valid_metrics.json; source, broken, ignored, in_training, not_compared, shortcuts (AUC of each
      group of file features that beats chance), not_searched, notes; folder, where they lie.

    Raises:
      UserError: no finished fold, or a set without an image that can be read; the sets before it
        are written then.
    """
    folds = workdir.require_folds()
    known = _training_digests(workdir, data_dir)
    ensemble = load_ensemble([workdir.model_path(fold) for fold in folds])
    results = {}
    try:
        for name, folder in sets.items():
            results[name] = _score_set(workdir, name, folder, ensemble, known)
    finally:
        _refresh_report(workdir)
    return results


def _score_set(
    workdir: Workdir,
    name: str,
    folder: encoded.Folder,
    ensemble: Ensemble,
    training: tuple[Mapping[str, str], str],
) -> dict[str, Any]:
    folds, (known, trouble) = workdir.require_folds(), training
    rows, broken = scored_test_sets.score(ensemble, folds, folder)
    if not rows:
        given_test_sets.refuse_unreadable(folder, broken)
    audit, few = _search(folder, workdir.config()["config"]["folds"])
    result = {
        "source": str(folder.path.resolve()),
        "members": models.members(workdir),
        **_scores(workdir, folds, rows),
        "broken": broken,
        "ignored": folder.ignored,
        "in_training": None if trouble else _in_training(rows, known),
        "not_compared": trouble,
        "shortcuts": None if audit is None else shortcuts.beating_chance(audit),
        "not_searched": few,
    }
    result["notes"] = scored_test_sets.notes(result)
    path = scored_test_sets.write(workdir.path, name, folder, rows, result, audit)
    return {**result, "folder": str(path)}


def _scores(workdir: Workdir, folds: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    labels = np.array([row["label"] for row in rows])
    members = np.array([[row[f"fold_{fold}"] for row in rows] for fold in folds])
    return {**scored_test_sets.summarize(rows, folds), **decided(workdir, folds, labels, members)}


def _in_training(rows: list[dict[str, Any]], known: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"filename": row["filename"], "training_image": known[row["digest"]]}
        for row in rows
        if row["digest"] in known
    ]


def _search(folder: encoded.Folder, folds: int) -> tuple[dict[str, Any] | None, str]:
    """The audit for shortcuts; or none, and in words why not: it goes on record."""
    try:
        audit = shortcuts.audit(folder.read(), len(folder.files), folds)
    except UserError as error:
        return None, str(error)
    return {"source": str(folder.path.resolve()), **audit}, ""


def _training_digests(workdir: Workdir, data_dir: str | None) -> tuple[dict[str, str], str]:
    """Digests of the run's training images; or none, and in words why not: it goes on record."""
    try:
        return scored_test_sets.training_digests(_train_shards(workdir, data_dir)), ""
    except UserError as error:
        return {}, str(error)


def _train_shards(workdir: Workdir, data_dir: str | None) -> tuple[Shard, ...]:
    config, dataset = open_data(workdir, data_dir)
    return residency.limit(dataset.train, config["max_examples"])


def sweep_robustness(
    workdir: Workdir, data_dir: str | None, max_images: int | None
) -> dict[str, Any]:
    """Scores changed images of `valid` by the ensemble and writes robustness.json and its picture.

    Args:
      workdir: of a run with at least one finished fold.
      data_dir: TFDS's directory of datasets, if not the run's.
      max_images: of `valid`, spread evenly over its shards; all if not given.

    Raises:
      UserError: no finished fold, no `valid`, or other data than the run's.
    """
    folds = workdir.require_folds()
    _, dataset = open_data(workdir, data_dir)
    if not dataset.valid:
        raise UserError(f"{dataset.name} was built without a valid split: its tree had none")
    shards = _limit(dataset.valid, max_images)
    ensemble = load_ensemble([workdir.model_path(fold) for fold in folds])
    total = sum(shard.length for shard in shards)
    scored = {"folds": folds, "members": models.members(workdir)}
    result = {**scored, **robustness.sweep(ensemble, encoded.from_shards(shards), total)}
    robustness.write(workdir.path, result)
    _refresh_report(workdir)
    return result


def find_shortcuts(
    workdir: Workdir, data_dir: str | None, max_images: int | None
) -> dict[str, Any]:
    """Audits the run's training images for what tells the classes apart in files.

    Args:
      workdir: of a run; its models are not used.
      data_dir: TFDS's directory of datasets, if not the run's.
      max_images: of the training images, spread evenly over the shards; all if not given.

    Returns:
      shortcuts.json's content: source, and what shortcuts.audit gives.

    Raises:
      UserError: no such data, or too few images.
    """
    config = workdir.config()["config"]
    shards = _limit(_train_shards(workdir, data_dir), max_images)
    images, total = encoded.from_shards(shards), sum(shard.length for shard in shards)
    source = f"training images of {config['dataset']}"
    result = {"source": source, **shortcuts.audit(images, total, config["folds"])}
    shortcuts.write(workdir.path, result)
    _refresh_report(workdir)
    return result


def _limit(shards: tuple[Shard, ...], max_images: int | None) -> tuple[Shard, ...]:
    if max_images is not None and max_images < len(shards):
        raise UsageError(f"--max_images={max_images}: must be at least {len(shards)}")
    return residency.limit(shards, max_images)


def _refresh_report(workdir: Workdir) -> None:
    if workdir.finished_folds():  # else there is nothing to report on yet
        report.write(workdir)


def robustness_lines(result: Mapping[str, Any]) -> str:
    """A line for each level, for a terminal."""
    lines = [f"{'':22}{'level':>7}{'accuracy':>10}{'':17}{'AUC':>7}{'':17}{'called fake':>12}"]
    clean = {"level": "clean", **result["clean"]}
    entries = [("", clean)] + [
        (panel["title"], level)
        for panel in result["perturbations"].values()
        for level in panel["levels"]
    ]
    for title, entry in entries:
        spans = ["[{:.3f}, {:.3f}]".format(*entry[f"{s}_interval"]) for s in ("accuracy", "auc")]
        lines.append(
            f"{title:22}{entry['level']:>7}{entry['accuracy']:10.3f} {spans[0]:16}"
            f"{entry['auc']:7.3f} {spans[1]:16}{entry['called_fake']:12.3f}"
        )
    return "\n".join(lines)


def shortcut_lines(result: Mapping[str, Any]) -> str:
    """A line for each group and the verdict, for a terminal."""
    lines = [f"{'files tell':20}{'linear AUC':>12}{'':17}{'trees AUC':>10}{'':17}"]
    for name, group in result["groups"].items():
        if group["constant"]:
            lines.append(f"{name:20}the same in all files")
            continue
        cells = "".join(
            "{:12.3f} {:16}".format(
                group[kind]["auc"], "[{:.3f}, {:.3f}]".format(*group[kind]["auc_interval"])
            )
            for kind in ("linear", "trees")
        )
        lines.append(f"{name:20}{cells}{'  WARNING' if name in result['found'] else ''}".rstrip())
    return "\n".join([*lines, result["verdict"]])
