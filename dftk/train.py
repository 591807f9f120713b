"""Trains a real-vs-fake face detector by cross-validation.

python -m dftk.train --dataset=sample --workdir=runs/sample
python -m dftk.train --fold=all --mixed_precision --workdir=runs/rvf10k
"""

import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from dftk import cli
from dftk.launch.job_index import fold_of_job
from dftk.training import rules
from dftk.training.config import Config, resolve
from dftk.training.execution import ExecutionOptions, parse_folds, parse_steps
from dftk.utils.errors import UsageError, UserError
from dftk.utils.progress import say

_FOLD = flags.DEFINE_string(
    "fold",
    "all",
    "Folds to hold out, one after the other: all, or indices such as 0 or 0,2. job: this process "
    "is one task of an array job and trains the fold of its number. It reads the number from "
    "DFTK_FOLD, JOB_COMPLETION_INDEX (Kubernetes), SLURM_ARRAY_TASK_ID or CLUSTER_SPEC (Vertex "
    "AI). It writes no report; --merge does, when all tasks have ended.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/dftk", "Folder for the config, models, metrics, predictions and report."
)
_MERGE = flags.DEFINE_bool(
    "merge", False, "Train nothing. Write the report on the finished folds in --workdir."
)
_PARALLEL = flags.DEFINE_string(
    "parallel",
    "1",
    "Number of folds to train at once, each in a process of its own. auto: one on each GPU. ray: "
    "as many as a Ray cluster has room for. With 1, each fold uses all GPUs.",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    1,
    "Number of processes that train each fold together. Ray starts them. Each one uses one GPU, if "
    "the cluster has any.",
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    None,
    "Ray cluster to join: HOST:PORT, or auto for the one that runs on this machine. Not given: a "
    "local one is started for this run.",
)
_CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps",
    None,
    "Save the state after every so many steps, too. It is always saved after each epoch.",
)
_PROFILE_STEPS = flags.DEFINE_list(
    "profile_steps", None, "FIRST,LAST: training steps to trace for TensorBoard."
)
_ALSO_EVALUATE = flags.DEFINE_list(
    "also_evaluate",
    None,
    "Directories of test sets, each with real/ and fake/ in it. After the training or the --merge, "
    "all finished folds score them, as dftk.evaluate --dataset would. They are checked before the "
    "training.",
)
cli.define_config_flags()
flags.adopt_module_key_flags(cli)  # --help shows them, not only --helpfull


def main(argv: Sequence[str]) -> int:
    """Trains, or merges, as the flags say; then scores the test sets."""
    cli.refuse_arguments(argv)
    from dftk.runs.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    # Wrong flags are refused here, before TensorFlow is loaded.
    config = None
    if not _MERGE.value:
        given = cli.given_config()
        config = resolve(given)
        for line in rules.of_no_phase(config.values(), given):
            say(f"note: {line}")
    sets = _test_sets(workdir) if _ALSO_EVALUATE.value is not None else {}
    summary = _merge(workdir) if config is None else _train(workdir, config)
    if not summary:
        return 0
    from dftk.evaluation import terminal

    print(terminal.fold_table(summary))
    status = cli.score_test_sets(workdir, sets, None) if sets else 0
    print(f"report: {workdir.path / 'report.html'}")
    return status


def _test_sets(workdir: Any) -> dict[str, Any]:
    if _FOLD.value == "job" and not _MERGE.value:
        raise UsageError(
            "--also_evaluate: --fold=job is one fold of several; give --also_evaluate to --merge"
        )
    from dftk.evaluation.checks import test_set_folders

    paths = _ALSO_EVALUATE.value or []
    try:
        return test_set_folders.open_folders(workdir.path, paths)
    except UserError as first:
        errors = []  # of each directory by itself: all are named at once
        for path in paths:
            try:
                test_set_folders.open_folders(workdir.path, [path])
            except UserError as error:
                errors.append(error)
        if len(errors) < 2:
            raise
        are_usage = all(isinstance(error, UsageError) for error in errors)
        text = "; ".join(dict.fromkeys(map(str, errors)))
        raise (UsageError if are_usage else UserError)(text) from first


def _merge(workdir: Any) -> dict[str, Any]:
    from dftk.launch import run

    return run.merge(workdir, _FOLD.value)


def _train(workdir: Any, config: Config) -> dict[str, Any]:
    fold = _FOLD.value
    is_array_task = fold == "job"
    if is_array_task:
        folds: Sequence[int] = [fold_of_job(os.environ, config.folds)]
    else:
        folds = parse_folds(fold, config.folds)
    options = ExecutionOptions(
        checkpoint_steps=_CHECKPOINT_STEPS.value,
        profile_steps=parse_steps(_PROFILE_STEPS.value),
        array_task=is_array_task,
        parallel=_PARALLEL.value,
        workers=_WORKERS.value,
        ray_address=_RAY_ADDRESS.value,
    )
    from dftk.launch import run  # loads TensorFlow, so after the flags are checked

    return run.train(config, folds, workdir, options)


if __name__ == "__main__":
    cli.run(main)
