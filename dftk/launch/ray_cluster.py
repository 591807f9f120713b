"""Folds as tasks of a Ray cluster. Ray places them; a fold whose node is lost is started again."""

import dataclasses
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dftk.launch.ray_session import (
    connect,
    output_to_file,
    require_shared_folder,
    shared_folder_token,
    stdout_to_file,
    with_absolute_paths,
)
from dftk.runs.workdir import Workdir
from dftk.training.config import Config
from dftk.training.execution import ExecutionOptions
from dftk.training.resume.interruption import Interrupted, StopRequest, catch_signals
from dftk.utils import cpu, limits
from dftk.utils.errors import UserError
from dftk.utils.progress import say

_POLL_S = 1.0
_RETRIES_AFTER_LOSS = 3  # of a fold's worker or node
_RETRIES_AFTER_ERROR = 1  # one machine may be at fault


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """How an attempt at a fold ended. A task sends it because not every exception can be pickled.

    Attributes:
      error: why the attempt failed; empty if the fold is finished.
      retries: how many more attempts this kind of failure allows a fold.
    """

    error: str = ""
    retries: int = 0


@dataclasses.dataclass(frozen=True)
class _FoldTask:
    """What a node must know to train a fold.

    Attributes:
      config: of the run, with absolute paths.
      fold: index.
      workdir: path.
      options: of the execution.
      token: by which the node can tell that it sees this workdir.
      folds_per_node: most folds that share one node's memory.
    """

    config: Config
    fold: int
    workdir: str
    options: ExecutionOptions
    token: str
    folds_per_node: int


@dataclasses.dataclass
class _Attempt:
    """An attempt at a fold that runs, or waits for room.

    Attributes:
      fold: index.
      number: 1 for the first.
      node: host and process, once it runs.
      started: seconds of time.monotonic.
    """

    fold: int
    number: int
    node: str = "no node yet"
    started: float = 0.0


def train_folds_on_ray(
    config: Config, folds: Sequence[int], workdir: Workdir, options: ExecutionOptions
) -> dict[int, str]:
    """Trains the folds that the workdir lacks, each as a Ray task with one GPU or some CPUs.

    A fold whose worker or node is lost is started again, and goes on from its checkpoint. A fold
    that failed by an error is tried once more. The output of a fold is in `fold_<f>/train.log`, and
    Ray's notes on lost workers are in `ray.log`.

    Args:
      config: of the run.
      folds: indices, each below config.folds.
      workdir: on storage that this machine and all nodes share.
      options: of the execution. `ray_address` names the cluster; None starts a local one.

    Returns:
      For each fold that failed, why. The others are finished.

    Raises:
      Interrupted: a signal came. Folds under way are saved.
      UserError: there is no such cluster, it has no room, or the workdir cannot be written.
    """
    if not (unfinished := [fold for fold in folds if not workdir.is_finished(fold)]):
        return {}
    config, workdir = with_absolute_paths(config), Workdir(workdir.path.absolute())
    with (
        connect(options.ray_address) as ray,
        shared_folder_token(workdir) as token,
        stdout_to_file(workdir.path / "ray.log"),
        catch_signals() as signals,
    ):
        resources = resources_per_fold(ray.nodes(), len(unfinished))
        folds_per_node = most_folds_per_node(ray.nodes(), resources, len(unfinished))
        say(f"Ray: {len(unfinished)} folds, each with {_in_words(resources)}")
        remote = ray.remote(
            max_calls=1,  # TensorFlow gives GPU memory back only when its process ends
            max_retries=0,  # _FoldTasks retries, and says so
            num_returns="streaming",
            scheduling_strategy="SPREAD",
            **resources,
        )(_train_fold)

        def start(fold: int) -> Any:
            path = str(workdir.path)
            return remote.remote(_FoldTask(config, fold, path, options, token, folds_per_node))

        tasks = _FoldTasks(ray, start)
        for fold in unfinished:
            tasks.submit(fold)
        tasks.wait(signals)
        return tasks.failed


class _FoldTasks:
    """The tasks that run or wait for room.

    Args:
      ray: the module.
      start: hands a fold to Ray and returns the stream of what its task yields.

    Attributes:
      failed: for each fold that failed for good, why.
    """

    def __init__(self, ray: Any, start: Callable[[int], Any]):
        self._ray, self._start = ray, start
        self._running: dict[Any, _Attempt] = {}  # by stream
        self._failures: list[tuple[int, int]] = []  # fold, and retries that this kind allows
        self._stopping = False
        self.failed: dict[int, str] = {}

    def submit(self, fold: int, attempt: int = 1) -> None:
        """Hands a fold to Ray, which starts it where there is room."""
        self._running[self._start(fold)] = _Attempt(fold, attempt)

    def wait(self, signals: StopRequest) -> None:
        """Waits until every fold has ended; a signal ends them early.

        Raises:
          Interrupted: a signal came.
        """
        while self._running:
            if signals.number and not self._stopping:
                self._stopping = True
                for stream in self._running:
                    self._ray.cancel(stream)  # the task gets Ctrl-C, and saves its state
            for stream in self._ray.wait(list(self._running), timeout=_POLL_S)[0]:
                self._handle_event(stream, self._running[stream])
        if self._stopping:
            raise Interrupted(
                "stopped by a signal; folds under way are saved, the same command does the rest",
                signals.number,
            )

    def _handle_event(self, stream: Any, attempt: _Attempt) -> None:
        event = _next_event(self._ray, stream)
        if isinstance(event, str):
            attempt.node, attempt.started = event, time.monotonic()
            ordinal = f", attempt {attempt.number}" if attempt.number > 1 else ""
            say(f"fold {attempt.fold}: started on {event}{ordinal}")
            return
        del self._running[stream]
        if event.error:
            self._handle_failure(attempt, event)
        else:
            seconds = time.monotonic() - attempt.started
            say(f"fold {attempt.fold}: finished in {seconds:.0f} s on {attempt.node}")

    def _handle_failure(self, attempt: _Attempt, outcome: _Outcome) -> None:
        fold = attempt.fold
        self._failures.append((fold, outcome.retries))
        again = self._failures.count((fold, outcome.retries)) <= outcome.retries
        if self._stopping:
            say(f"fold {fold}: stopped on {attempt.node}")
            return
        word = "started again" if again else "not finished"
        say(f"fold {fold}: {word} after {outcome.error} ({attempt.node})")
        if again:
            self.submit(fold, attempt.number + 1)
        else:
            self.failed[fold] = outcome.error


def _next_event(ray: Any, stream: Any) -> str | _Outcome:
    """Returns what a task yields next: the node that it runs on, then how it ended."""
    try:
        return ray.get(next(stream))
    except ray.exceptions.RayTaskError as error:  # not from the training: is dftk missing there?
        return _Outcome(f"{type(error.cause).__name__}: {error.cause}", _RETRIES_AFTER_ERROR)
    except (ray.exceptions.RayError, StopIteration) as error:
        return _Outcome(f"the loss of its worker ({type(error).__name__})", _RETRIES_AFTER_LOSS)


def _train_fold(task: _FoldTask) -> Iterator[str | _Outcome]:
    """Runs on a node. Yields the node's name, then how the training ended."""
    yield f"{platform.node()}, process {os.getpid()}"
    os.environ[limits.SIBLINGS] = str(task.folds_per_node)
    cpu.prepare()
    workdir, fold = Workdir(task.workdir), task.fold
    try:
        require_shared_folder(workdir, task.token)
        workdir.fold_dir(fold).mkdir(exist_ok=True)
        with output_to_file(workdir.fold_dir(fold) / "train.log"):
            from dftk.training.folds import crossval

            crossval.train_folds(task.config, [fold], workdir, task.options)
    except Interrupted as stop:  # the node shuts down; the fold goes on elsewhere
        yield _Outcome(f"a signal to its worker ({stop})", _RETRIES_AFTER_LOSS)
    except UserError as error:
        yield _Outcome(str(error))
    except Exception as error:
        words = f"{type(error).__name__}: {error}; see fold_{fold}/train.log"
        yield _Outcome(words, _RETRIES_AFTER_ERROR)
    else:
        yield _Outcome()


def resources_per_fold(nodes: Sequence[Mapping[str, Any]], folds: int) -> dict[str, float]:
    """Returns the resources that a fold asks Ray for.

    That is one GPU. In a cluster without GPUs, it is as many CPUs as let all folds run at once.

    Args:
      nodes: as ray.nodes() returns them.
      folds: number of folds.

    Raises:
      UserError: the cluster has neither GPUs nor CPUs.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if any(resources.get("GPU", 0) >= 1 for resources in alive):
        return {"num_gpus": 1, "num_cpus": 1}
    cpus = [int(resources["CPU"]) for resources in alive if resources.get("CPU", 0) >= 1]
    if not cpus:
        raise UserError(
            f"--ray_address: none of the cluster's {len(alive)} nodes offers a GPU or a CPU; start "
            "nodes with `ray start --address=HOST:PORT`"
        )
    folds_per_node = math.ceil(folds / len(cpus))
    return {"num_gpus": 0, "num_cpus": max(1, min(cpus) // folds_per_node)}


def most_folds_per_node(
    nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, float], folds: int
) -> int:
    """Returns the largest number of folds that share one node's memory.

    Args:
      nodes: as ray.nodes() returns them.
      resources: of each fold.
      folds: number of folds.
    """
    name = "GPU" if resources["num_gpus"] else "CPU"
    need = resources["num_gpus"] or resources["num_cpus"]
    offered = [node["Resources"].get(name, 0) for node in nodes if node["Alive"]]
    return max(1, min(folds, int(max(offered) // need)))


def _in_words(resources: Mapping[str, float]) -> str:
    if gpus := resources["num_gpus"]:
        return f"{gpus} GPU"
    cpus = resources["num_cpus"]
    return f"{cpus} CPU{'s' if cpus > 1 else ''}"
