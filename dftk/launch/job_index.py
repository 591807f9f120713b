"""Which fold a process trains when it is one task of an array of jobs; no TensorFlow here."""

import json
from collections.abc import Mapping

from dftk.utils.errors import UsageError

# Where each scheduler puts the task's number, the user's own word first: it can mend the others.
_NUMBERS = ("DFTK_FOLD", "JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID")
_VERTEX = "CLUSTER_SPEC"
_POOL = "workerpool"


def fold_of_job(environ: Mapping[str, str], folds: int) -> int:
    """Reads the fold of `--fold=job` from what the scheduler says of this task.

    The first that is set counts: DFTK_FOLD, Kubernetes' JOB_COMPLETION_INDEX (Indexed Jobs),
    SLURM_ARRAY_TASK_ID, Vertex AI's CLUSTER_SPEC.

    Args:
      environ: the process's environment variables.
      folds: number of folds of the run.

    Returns:
      The index of a fold, below `folds`.

    Raises:
      UsageError: none of them is set, or what is set names no fold.
    """
    for name in _NUMBERS:
        if value := environ.get(name):
            return _checked(_number(name, value), f"{name}={value}", folds)
    if value := environ.get(_VERTEX):
        replica = _vertex_replica(value)
        return _checked(replica, f"{_VERTEX} of replica {replica}", folds)
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


def _checked(fold: int, source: str, folds: int) -> int:
    if not 0 <= fold < folds:
        raise UsageError(
            f"--fold=job: {source} gives no fold, folds are 0 to {folds - 1}; number the tasks of "
            "the array from 0, one to a fold, or set DFTK_FOLD"
        )
    return fold


def _vertex_replica(text: str) -> int:
    """The rank of this replica over all worker pools, from 0.

    Vertex AI describes a job of several machines as {"cluster": {"workerpool0": [host, ...],
    "workerpool1": [...]}, "task": {"type": "workerpool1", "index": 2}, ...}; pool 0 has one
    replica (cloud.google.com/vertex-ai/docs/training/distributed-training).
    """
    try:
        spec = json.loads(text)
        pool = int(spec["task"]["type"].removeprefix(_POOL))
        below = [f"{_POOL}{number}" for number in range(pool)]
        first = sum(len(spec["cluster"].get(name, ())) for name in below)
        return first + int(spec["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"--fold=job: {_VERTEX}={' '.join(text.split())} does not say which worker pool and "
            "replica this is, as Vertex AI would; set DFTK_FOLD to the fold of this job"
        ) from None
