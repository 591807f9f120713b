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
from dftk.training.config import Config, resolve
from dftk.training.execution import ExecutionOptions, parse_folds, parse_steps
from dftk.utils.errors import UsageError

_FOLD = flags.DEFINE_string(
    "fold",
    "all",
    "The fold to hold out: all, or indices such as 0 or 0,2; job: the one that this task of an "
    "array of jobs is for, by JOB_COMPLETION_INDEX (Kubernetes), SLURM_ARRAY_TASK_ID, CLUSTER_SPEC "
    "(Vertex AI) or DFTK_FOLD; it writes no report, --merge does.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "runs/dftk", "Folder of the run: config, models, metrics, predictions, report."
)
_MERGE = flags.DEFINE_bool(
    "merge", False, "Train nothing; join the finished folds in --workdir into one report."
)
_PARALLEL = flags.DEFINE_string(
    "parallel",
    "1",
    "Folds trained at once, each in a process of its own: a number; auto, one on each GPU; or "
    "ray, on a Ray cluster. Where one fold alone is trained at a time, it takes all GPUs.",
)
_WORKERS = flags.DEFINE_integer(
    "workers", 1, "Processes that train each fold together, started by Ray; with GPUs one each."
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address", None, "Of the Ray cluster to join, such as auto; not given: one is started here."
)
_CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps",
    None,
    "Save the state after every so many steps, not only after each epoch.",
)
_PROFILE_STEPS = flags.DEFINE_list(
    "profile_steps", None, "FIRST,LAST: trace these training steps for TensorBoard."
)
_ALSO_EVALUATE = flags.DEFINE_list(
    "also_evaluate",
    None,
    "Directories with real/ and fake/ in each, scored by all finished folds after the training or "
    "the --merge, as by dftk.evaluate --dataset; looked at before it.",
)
cli.define_config_flags()
flags.adopt_module_key_flags(cli)  # --help shows them, not only --helpfull


def main(argv: Sequence[str]) -> int:
    """Flags to config to one call, and one more for test sets."""
    cli.refuse_arguments(argv)
    from dftk.runs.workdir import Workdir

    workdir = Workdir(_WORKDIR.value)
    # Resolved here: it complains before TensorFlow is loaded.
    config = None if _MERGE.value else resolve(cli.given_config())
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
        raise UsageError("--also_evaluate: --fold=job is one fold of several; give it to --merge")
    from dftk.evaluation.checks import test_set_folders

    return test_set_folders.open_folders(workdir.path, _ALSO_EVALUATE.value or [])


def _merge(workdir: Any) -> dict[str, Any]:
    from dftk.launch import run

    return run.merge(workdir, _FOLD.value)


def _train(workdir: Any, config: Config) -> dict[str, Any]:
    fold = _FOLD.value
    job = fold == "job"
    folds = [fold_of_job(os.environ, config.folds)] if job else parse_folds(fold, config.folds)
    options = ExecutionOptions(
        checkpoint_steps=_CHECKPOINT_STEPS.value,
        profile_steps=parse_steps(_PROFILE_STEPS.value),
        job=job,
        parallel=_PARALLEL.value,
        workers=_WORKERS.value,
        ray_address=_RAY_ADDRESS.value,
    )
    from dftk.launch import run  # TensorFlow: after the flags are found to be right

    return run.train(config, folds, workdir, options)


if __name__ == "__main__":
    cli.run(main)
