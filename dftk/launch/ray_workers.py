"""One model trained by several workers in step. Ray Train starts them and sets TF_CONFIG."""

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from dftk.launch.ray_session import (
    connect,
    first_line,
    output_to_file,
    require_shared_folder,
    shared_folder_token,
    stdout_to_file,
    with_absolute_paths,
)
from dftk.runs.workdir import Workdir
from dftk.training.config import Config
from dftk.training.execution import ExecutionOptions
from dftk.utils import cpu
from dftk.utils.errors import UsageError, UserError
from dftk.utils.progress import say

_RETRIES_AFTER_LOSS = 2  # all workers are started again after one was lost


def train_with_workers(
    config: Config, folds: Sequence[int], workdir: Workdir, options: ExecutionOptions
) -> None:
    """Trains the folds that the workdir lacks, each by all workers, by synchronous SGD.

    If a worker is lost, all start again from the last checkpoint. The output of worker w is in
    `worker_<w>.log` of the workdir.

    Args:
      config: of the run.
      folds: indices, each below config.folds.
      workdir: on storage that this machine and all nodes share.
      options: of the execution. `workers` is the number of processes that train in step, each with
        one GPU where the cluster has any. `ray_address` names the cluster; None starts a local one.

    Raises:
      UserError: there is no such cluster, it has too little room, or a worker failed.
    """
    config, workdir = with_absolute_paths(config), Workdir(workdir.path.absolute())
    workers = options.workers
    with (
        connect(options.ray_address) as ray,
        shared_folder_token(workdir) as token,
        stdout_to_file(workdir.path / "ray.log"),
        tempfile.TemporaryDirectory() as storage,
    ):
        use_gpu = _use_gpus(ray.cluster_resources(), workers)
        # Otherwise each line of a worker is in its log twice. Ray Train passes this to the workers.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
        from ray import train
        from ray.train.tensorflow import TensorflowTrainer

        trainer = TensorflowTrainer(
            _train_as_worker,
            train_loop_config={
                "arguments": (config, tuple(folds), str(workdir.path), options),
                "token": token,
            },
            scaling_config=train.ScalingConfig(
                num_workers=workers, use_gpu=use_gpu, placement_strategy="SPREAD"
            ),
            run_config=train.RunConfig(
                storage_path=storage,  # for Ray's own files; ours are in the workdir
                failure_config=train.FailureConfig(max_failures=_RETRIES_AFTER_LOSS),
            ),
        )
        say(f"Ray: {workers} workers in step, each with one {'GPU' if use_gpu else 'CPU'}")
        try:
            trainer.fit()
        except train.TrainingFailedError as error:
            raise _user_error(error, workdir) from error


def _use_gpus(resources: Mapping[str, float], workers: int) -> bool:
    """Returns whether the workers get GPUs.

    Raises:
      UsageError: there is not room for all workers. Ray would wait for it for ever.
    """
    kind = "GPU" if resources.get("GPU", 0) else "CPU"
    if (there := int(resources.get(kind, 0))) < workers:
        raise UsageError(
            f"--workers={workers}: the cluster has {there} {kind}s, a worker takes one; give fewer"
        )
    return kind == "GPU"


def _train_as_worker(loop: dict[str, Any]) -> None:
    """Runs in each worker. Ray Train has set TF_CONFIG."""
    from ray import train

    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # Ray Train sets it, but this is Keras 3
    cpu.prepare()
    config, folds, path, options = loop["arguments"]
    workdir = Workdir(path)
    require_shared_folder(workdir, loop["token"])
    worker = train.get_context().get_world_rank()
    with output_to_file(workdir.path / f"worker_{worker}.log"):
        say(f"worker {worker} on {platform.node()}, process {os.getpid()}")
        from dftk.training.folds import crossval

        crossval.train_folds(config, folds, workdir, options)


def _user_error(error: Exception, workdir: Workdir) -> UserError:
    """Returns the error of a worker that the user can mend, or one that names the workers' logs.

    Args:
      error: a TrainingFailedError of Ray Train. A WorkerGroupError, which is one, has the
        exceptions that ended the workers, by worker.
      workdir: of the run.
    """
    failures: Mapping[int, Exception] = getattr(error, "worker_failures", {})
    for _, failure in sorted(failures.items()):
        if isinstance(failure, UserError):
            return UserError(str(failure))
    for worker, failure in sorted(failures.items()):
        log = workdir.path / f"worker_{worker}.log"
        text = f"{type(failure).__name__}: {first_line(failure)}"
        return UserError(f"worker {worker}: {text}; see {log}")
    return UserError(f"Ray Train: {type(error).__name__}; see worker_*.log in {workdir.path}")
