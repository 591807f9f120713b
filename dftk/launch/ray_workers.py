"""One model trained by several Ray workers in step: Ray Train starts them and sets TF_CONFIG."""

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from dftk.launch.ray_session import (
    as_nodes_see_it,
    joined,
    marked,
    notes_into,
    output_into,
    require_mark,
)
from dftk.runs.workdir import Workdir
from dftk.training.config import Config
from dftk.training.execution import ExecutionOptions
from dftk.utils import cpu
from dftk.utils.errors import UsageError, UserError
from dftk.utils.progress import say

_LOST = 2  # times that all workers are started again after one was lost


def train_with_workers(
    config: Config,
    folds: Sequence[int],
    workdir: Workdir,
    options: ExecutionOptions,
    workers: int,
    address: str | None,
) -> None:
    """Trains the folds that the workdir lacks, each over all workers, by synchronous SGD.

    If a worker is lost all start again, from the last checkpoint. What they print is in
    `worker_<w>.log` of the workdir.

    Args:
      config: of the run.
      folds: indices, each below config.folds.
      workdir: on storage that this machine and all nodes share.
      options: how to go about it.
      workers: processes that train in step, each with one GPU where the cluster has any.
      address: of a Ray cluster, host:port or auto; None starts a local one for this call.

    Raises:
      UserError: no such cluster, too little room in it, or what a worker raised.
    """
    config, workdir = as_nodes_see_it(config), Workdir(workdir.path.absolute())
    with (
        joined(address) as ray,
        marked(workdir) as mark,
        notes_into(workdir.path / "ray.log"),
        tempfile.TemporaryDirectory() as notes,
    ):
        use_gpu = _has_room(ray.cluster_resources(), workers)
        # Else all that a worker prints is in its log twice; Ray Train hands this on to the workers.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
        from ray import train
        from ray.train.tensorflow import TensorflowTrainer

        trainer = TensorflowTrainer(
            _train_as_worker,
            train_loop_config={
                "arguments": (config, tuple(folds), str(workdir.path), options),
                "mark": mark,
            },
            scaling_config=train.ScalingConfig(
                num_workers=workers, use_gpu=use_gpu, placement_strategy="SPREAD"
            ),
            run_config=train.RunConfig(
                storage_path=notes,  # Ray's own; ours are in the workdir
                failure_config=train.FailureConfig(max_failures=_LOST),
            ),
        )
        say(f"Ray: {workers} workers in step, each with one {'GPU' if use_gpu else 'CPU'}")
        try:
            trainer.fit()
        except train.TrainingFailedError as error:
            raise _told(error, workdir) from error


def _has_room(resources: Mapping[str, float], workers: int) -> bool:
    """Whether the workers get GPUs.

    Raises:
      UsageError: there is not room for all of them, for which Ray would wait for ever.
    """
    kind = "GPU" if resources.get("GPU", 0) else "CPU"
    if (there := int(resources.get(kind, 0))) < workers:
        raise UsageError(
            f"--workers={workers}: the cluster has {there} {kind}s, a worker takes one; give fewer"
        )
    return kind == "GPU"


def _train_as_worker(loop: dict[str, Any]) -> None:
    """Runs in each worker, with TF_CONFIG set."""
    from ray import train

    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # Ray Train sets it; this is Keras 3
    cpu.prepare()
    config, folds, path, options = loop["arguments"]
    workdir = Workdir(path)
    require_mark(workdir, loop["mark"])
    worker = train.get_context().get_world_rank()
    with output_into(workdir.path / f"worker_{worker}.log"):
        say(f"worker {worker} on {platform.node()}, process {os.getpid()}")
        from dftk.training.folds import crossval

        crossval.train_folds(config, folds, workdir, options)


def _told(error: Exception, workdir: Workdir) -> UserError:
    """The worker's own words where they were meant for the user."""
    causes = getattr(error, "worker_failures", {}).values()
    for cause in causes:
        while cause is not None and not isinstance(cause, UserError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            return UserError(str(cause))
    text = next((line for line in reversed(str(error).splitlines()) if line.strip()), repr(error))
    return UserError(f"{text.strip()}; see worker_*.log in {workdir.path}")
