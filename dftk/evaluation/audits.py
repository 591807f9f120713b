"""The audits of a run. Each reads the workdir, writes its files and the report anew."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dftk.evaluation.checks import robustness, shortcuts, test_set_folders, test_sets
from dftk.evaluation.checks.generalisation import Comparison
from dftk.evaluation.pages import report
from dftk.evaluation.saved_folds import chosen_threshold, open_data, require_valid
from dftk.evaluation.stats import ensemble_metrics
from dftk.images import encoded
from dftk.input import residency
from dftk.input.shards import Shard
from dftk.runs.members import member_digests
from dftk.runs.saved_models import Ensemble, load_ensemble
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import columns


@dataclasses.dataclass(frozen=True)
class ScoredTestSets:
    """Test sets that were scored in one call."""

    results: Mapping[str, Mapping[str, Any]]  # by name, see `score_test_sets`
    comparison: Comparison  # of all sets of the run, these among them


def score_test_sets(
    workdir: Workdir, folders: Mapping[str, encoded.Folder], data_dir: str | None
) -> ScoredTestSets:
    """Scores folders of `real/` and `fake/` by all finished folds and writes tests/NAME of each.

    Args:
      workdir: of a run with at least one finished fold.
      folders: by name, as test_set_folders.open_folders gives them.
      data_dir: TFDS's directory of datasets, if it is not the run's; holds the training images.

    Returns:
      results: the content of metrics.json by name: source, members; folds, ensemble, intervals,
      threshold, at_threshold as in valid_metrics.json; broken, ignored, in_training, not_compared,
      shortcuts (the AUC of each group of file features that beats chance), not_searched, notes; and
      folder, the path of tests/NAME.

    Raises:
      UserError: no finished fold, or a set in which no image can be read. The sets before it are
        written then.
    """
    scoring = _Scoring.of(workdir, data_dir)
    results = {}
    try:
        for name, folder in folders.items():
            results[name] = scoring.score(name, folder)
    finally:
        comparison = report.write(workdir).comparison
    return ScoredTestSets(results, comparison)


@dataclasses.dataclass(frozen=True)
class _Scoring:
    """What all test sets of one call are scored with, read once."""

    workdir: Workdir
    folds: Sequence[int]
    digests: Mapping[str, str]  # of the models
    ensemble: Ensemble
    threshold: Mapping[str, Any]  # as metrics.chosen_threshold gives it
    training_images: Mapping[str, str] | None  # filename by digest; None if they are not there
    training_error: str  # why they are not there
    num_folds: int  # of the dataset

    @classmethod
    def of(cls, workdir: Workdir, data_dir: str | None) -> "_Scoring":
        folds = workdir.require_folds()
        training_images, training_error = _training_digests(workdir, data_dir)
        return cls(
            workdir=workdir,
            folds=folds,
            digests=member_digests(workdir),
            ensemble=load_ensemble([workdir.model_path(fold) for fold in folds]),
            threshold=chosen_threshold(workdir.predictions()),
            training_images=training_images,
            training_error=training_error,
            num_folds=workdir.config()["config"]["folds"],
        )

    def score(self, name: str, folder: encoded.Folder) -> dict[str, Any]:
        """Scores one test set and writes its files."""
        rows, broken = test_sets.score(self.ensemble, self.folds, folder)
        if not rows:
            test_set_folders.refuse_unreadable(folder, broken)
        labels, mean = columns(rows, "label", "probability")
        summary = ensemble_metrics.summarize(
            folds=self.folds,
            labels=labels,
            members=test_sets.member_probabilities(rows, self.folds),
            mean=mean,
            threshold=self.threshold,
        )
        audit, search_error = _search(folder, self.num_folds)
        known = self.training_images
        result = {
            "source": str(folder.path.resolve()),
            "members": self.digests,
            **summary,
            "broken": broken,
            "ignored": folder.ignored,
            "in_training": None if known is None else _in_training(rows, known),
            "not_compared": self.training_error,
            "shortcuts": None if audit is None else shortcuts.beating_chance(audit),
            "not_searched": search_error,
        }
        result["notes"] = test_sets.notes(result)
        path = test_sets.write(self.workdir.path, name, folder, rows, result, audit)
        return {**result, "folder": str(path)}


def _in_training(rows: list[dict[str, Any]], known: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"filename": row["filename"], "training_image": known[row["digest"]]}
        for row in rows
        if row["digest"] in known
    ]


def _search(folder: encoded.Folder, folds: int) -> tuple[dict[str, Any] | None, str]:
    """The audit for shortcuts; or None and the reason, which the results record."""
    try:
        audit = shortcuts.audit(folder.read(), len(folder.files), folds)
    except UserError as error:
        return None, str(error)
    return {"source": str(folder.path.resolve()), **audit}, ""


def _training_digests(workdir: Workdir, data_dir: str | None) -> tuple[dict[str, str] | None, str]:
    """Digests of the run's training images; or None and the reason, which the results record."""
    try:
        return test_sets.training_digests(_train_shards(workdir, data_dir)), ""
    except UserError as error:
        return None, str(error)


def _train_shards(workdir: Workdir, data_dir: str | None) -> tuple[Shard, ...]:
    config, dataset = open_data(workdir, data_dir)
    return residency.limit_examples(dataset.train, config["max_examples"])


def sweep_robustness(
    workdir: Workdir, data_dir: str | None, max_images: int | None
) -> dict[str, Any]:
    """Scores perturbed images of `valid` by the ensemble; writes robustness.json and its picture.

    Args:
      workdir: of a run with at least one finished fold.
      data_dir: TFDS's directory of datasets, if it is not the run's.
      max_images: the number of images of `valid`, spread evenly over its shards; None is all.

    Returns:
      the content of robustness.json.

    Raises:
      UserError: no fold is finished, or the dataset has no `valid`, is missing or has changed.
    """
    folds = workdir.require_folds()
    _, dataset = open_data(workdir, data_dir)
    require_valid(dataset)
    shards = _limit(dataset.valid, max_images)
    ensemble = load_ensemble([workdir.model_path(fold) for fold in folds])
    total = sum(shard.length for shard in shards)
    scored_by = {"folds": folds, "members": member_digests(workdir)}
    result = {**scored_by, **robustness.sweep(ensemble, encoded.from_shards(shards), total)}
    robustness.write(workdir.path, result)
    _refresh_report(workdir)
    return result


def find_shortcuts(
    workdir: Workdir, data_dir: str | None, max_images: int | None
) -> dict[str, Any]:
    """Searches the run's training images for shortcuts; writes shortcuts.json and its picture.

    Args:
      workdir: of a run. Its models are not used.
      data_dir: TFDS's directory of datasets, if it is not the run's.
      max_images: the number of training images, spread evenly over the shards; None is all.

    Returns:
      the content of shortcuts.json: source, and what shortcuts.audit returns.

    Raises:
      UserError: the dataset is missing or has changed, or has too few images.
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
        raise UsageError(
            f"--max_images={max_images}: must be at least {len(shards)}, one for each shard"
        )
    return residency.limit_examples(shards, max_images)


def _refresh_report(workdir: Workdir) -> None:
    if workdir.finished_folds():  # a report needs one
        report.write(workdir)
