"""A whole run: trains the folds in the way that was asked for, then writes the report."""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dftk.evaluation.pages import report
from dftk.launch import parallel
from dftk.runs.workdir import Workdir
from dftk.training.config import Config
from dftk.training.devices import cluster
from dftk.training.execution import ExecutionOptions, parse_folds
from dftk.training.folds import crossval
from dftk.utils.errors import UsageError, UserError
from dftk.utils.progress import say


class FoldsFailed(UserError):
    """Some folds could not be trained. The report is about the others."""


def train(
    config: Config,
    folds: Sequence[int],
    workdir: Workdir,
    options: ExecutionOptions = ExecutionOptions(),  # noqa: B008
) -> dict[str, Any]:
    """Trains the folds that the workdir does not hold yet, and writes the report.

    Args:
      config: of the run.
      folds: indices, each below config.folds.
      workdir: created if it does not exist; may hold folds of the same run.
      options: of the execution.

    Returns:
      The content of metrics.json. It is empty in a task of an array job, and in a worker that is
      not the chief.

    Raises:
      FoldsFailed: some folds failed. The report on the others has been written.
      Interrupted, UserError: see dftk.training.folds.crossval.train_folds.
    """
    if options.array_task:
        # Vertex AI sets it also for tasks that are meant to work alone.
        os.environ.pop("TF_CONFIG", None)
        crossval.train_folds(config, folds, workdir, options)
        say(f"no report yet; when all folds are trained: --merge --workdir={workdir.path}")
        return {}
    worker, workers = cluster.find_worker(os.environ)
    if workers > 1 and (options.parallel, options.workers) != ("1", 1):
        raise UsageError("TF_CONFIG is set: these workers train together; unset it, or give "
                         "neither --parallel nor --workers")  # fmt: skip
    failed = _train(config, folds, workdir, options)
    if worker > 0:
        return {}
    summary = report.write(workdir).metrics if workdir.finished_folds() else {}
    if failed:
        words = "; ".join(f"fold {fold}: {text}" for fold, text in sorted(failed.items()))
        raise FoldsFailed(f"{words}; the same command tries again")
    return summary


def _train(
    config: Config, folds: Sequence[int], workdir: Workdir, options: ExecutionOptions
) -> dict[int, str]:
    """Trains the folds; returns for each fold that failed while others went on, why."""
    gpus = _gpus()
    if options.parallel != "ray" and options.workers == 1 and (options.processes or len(gpus)) <= 1:
        crossval.train_folds(config, folds, workdir, options)
        return {}
    tf.config.set_visible_devices([], "GPU")  # they are for the processes that train
    crossval.prepare_workdir(config, workdir)  # once, before several processes would
    if options.parallel == "ray" or options.workers > 1:
        from dftk.launch import ray_cluster, ray_workers  # need the extra `cluster`

        if options.workers > 1:
            ray_workers.train_with_workers(config, folds, workdir, options)
            return {}
        return ray_cluster.train_folds_on_ray(config, folds, workdir, options)
    return parallel.train_folds(config, folds, workdir, options, gpus)


def _gpus() -> list[str]:
    """Returns the GPUs as CUDA_VISIBLE_DEVICES names them, and takes none of their memory."""
    found = tf.config.list_physical_devices("GPU")
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return visible[: len(found)] or [str(index) for index in range(len(found))]


def merge(workdir: Workdir, fold: str) -> dict[str, Any]:
    """Writes the report on the finished folds of a workdir. May be repeated.

    Args:
      workdir: of a run.
      fold: the folds that should be finished, as --fold gives them.

    Returns:
      The content of metrics.json.

    Raises:
      UserError: there is no run, or no finished fold.
      FoldsFailed: a fold is not finished. The report on the others has been written.
    """
    folds = parse_folds(fold, workdir.config()["config"]["folds"])
    finished = workdir.require_folds()
    summary = report.write(workdir).metrics
    if missing := [str(fold) for fold in folds if fold not in finished]:
        there = ",".join(map(str, finished))
        say(f"report: {workdir.path / 'report.html'}, on fold {there}")
        raise FoldsFailed(
            f"{workdir.path}: not finished: fold {', '.join(missing)}; train them, or merge only "
            f"those that are there with --fold={there}"
        )
    return summary
