"""The fold of a process that is one task of an array job. This module does not load TensorFlow."""

import json
from collections.abc import Mapping

from dftk.utils.errors import UsageError

# Variables with the task's number. The user's own comes first, so that it can correct the others.
_NUMBERS = ("DFTK_FOLD", "JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID")
_VERTEX = "CLUSTER_SPEC"
_POOL_PREFIX = "workerpool"


def fold_of_job(environ: Mapping[str, str], folds: int) -> int:
    """Reads the fold of --fold=job from the variables that a scheduler sets for each task.

    The first one that is set counts: DFTK_FOLD, JOB_COMPLETION_INDEX (Indexed Jobs of Kubernetes),
    SLURM_ARRAY_TASK_ID, CLUSTER_SPEC (Vertex AI).

    Args:
      environ: the environment variables of the process.
      folds: number of folds of the run.

    Returns:
      The index of a fold, below `folds`.

    Raises:
      UsageError: none of the variables is set, or its value names no fold.
    """
    for name in _NUMBERS:
        if value := environ.get(name):
            return _require_fold(_number(name, value), f"{name}={value}", folds)
    if value := environ.get(_VERTEX):
        replica = _vertex_replica(value)
        return _require_fold(replica, f"{_VERTEX} of replica {replica}", folds)
    raise UsageError(
        f"--fold=job: none of {', '.join((*_NUMBERS, _VERTEX))} is set in the environment; set "
        "DFTK_FOLD to the fold of this job, or give --fold=all"
    )


def _number(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(
            f"--fold=job: {name}={value} is not a whole number; set {name} to the fold of this job"
        ) from None


def _require_fold(fold: int, source: str, folds: int) -> int:
    if not 0 <= fold < folds:
        raise UsageError(
            f"--fold=job: {source} is not a fold, folds are 0 to {folds - 1}; number the tasks of "
            "the array from 0, one for each fold, or set DFTK_FOLD"
        )
    return fold


def _vertex_replica(text: str) -> int:
    """Returns the rank of this replica over all worker pools, from 0.

    Vertex AI describes a job of several machines as {"cluster": {"workerpool0": [host, ...],
    "workerpool1": [...]}, "task": {"type": "workerpool1", "index": 2}, ...}; pool 0 has one
    replica (cloud.google.com/vertex-ai/docs/training/distributed-training).
    """
    try:
        spec = json.loads(text)
        pool = int(spec["task"]["type"].removeprefix(_POOL_PREFIX))
        pools_before = [f"{_POOL_PREFIX}{number}" for number in range(pool)]
        first = sum(len(spec["cluster"].get(name, ())) for name in pools_before)
        return first + int(spec["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"--fold=job: {_VERTEX}={' '.join(text.split())} does not say which worker pool and "
            "replica this is, as Vertex AI would; set DFTK_FOLD to the fold of this job"
        ) from None
