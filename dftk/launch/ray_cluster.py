"""Folds as tasks of a Ray cluster: where Ray finds room, started again when a node is lost."""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from dftk.training.resume.interruption import Interrupted, StopRequest, catch_signals
from dftk.utils import cpu, limits
from dftk.utils.errors import UserError
from dftk.utils.progress import say

_POLL_S = 1.0
_LOST = 3  # times that a fold is started again after its worker or node was lost
_RAISED = 1  # and after it raised: a fault of one machine, if it does not come again


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """How an attempt at a fold ended; sent in place of exceptions, which not all can be pickled."""

    error: str = ""  # none if all is well
    retries: int = 0  # how often this kind of end may come before the fold counts as failed


@dataclasses.dataclass
class _Attempt:
    fold: int
    number: int
    node: str = "no node yet"
    started: float = 0.0  # seconds, of time.monotonic


def train_folds_on_ray(
    config: Config,
    folds: Sequence[int],
    workdir: Workdir,
    options: ExecutionOptions,
    address: str | None,
) -> dict[int, str]:
    """Trains the folds that the workdir lacks, each as a Ray task with one GPU or a share of CPUs.

    A fold whose worker or node is lost is started again and goes on from its checkpoint; one that
    raised is tried once more. What a fold prints is in `fold_<f>/train.log`; what Ray says of lost
    workers, in `ray.log`.

    Args:
      config: of the run.
      folds: indices, each below config.folds.
      workdir: on storage that this machine and all nodes share.
      options: how to go about it.
      address: of a Ray cluster, host:port or auto; None starts a local one for this call.

    Returns:
      For each fold that failed, why; the others are finished.

    Raises:
      Interrupted: by a signal; folds under way are saved.
      UserError: no such cluster, no room in it, or the workdir cannot be written.
    """
    if not (todo := [fold for fold in folds if not workdir.is_finished(fold)]):
        return {}
    config, workdir = as_nodes_see_it(config), Workdir(workdir.path.absolute())
    with (
        joined(address) as ray,
        marked(workdir) as mark,
        notes_into(workdir.path / "ray.log"),
        catch_signals() as signals,
    ):
        room = room_per_fold(ray.nodes(), len(todo))
        together = folds_on_a_node(ray.nodes(), room, len(todo))
        say(f"Ray: {len(todo)} folds, each with {_words(room)}")
        task = ray.remote(
            max_calls=1,  # a process a fold: TensorFlow gives GPU memory back when it ends
            max_retries=0,  # done here, where it can be told
            num_returns="streaming",
            scheduling_strategy="SPREAD",
            **room,
        )(_train_fold)

        def start(fold: int) -> Any:
            return task.remote(config, fold, str(workdir.path), options, mark, together)

        run = _Folds(ray, start)
        for fold in todo:
            run.begin(fold)
        run.wait(signals)
        return run.failed


class _Folds:
    """The folds under way, and what became of the others."""

    def __init__(self, ray: Any, start: Callable[[int], Any]):
        self._ray, self._start = ray, start
        self._running: dict[Any, _Attempt] = {}  # by the stream of what a task says
        self._ends: list[tuple[int, int]] = []  # fold and retries allowed, of each bad end
        self._stopping = False
        self.failed: dict[int, str] = {}

    def begin(self, fold: int, number: int = 1) -> None:
        """Hands a fold to Ray, which starts it where there is room."""
        self._running[self._start(fold)] = _Attempt(fold, number)

    def wait(self, signals: StopRequest) -> None:
        """Until every fold has ended; a signal ends them early.

        Raises:
          Interrupted: by that signal.
        """
        while self._running:
            if signals.number and not self._stopping:
                self._stopping = True
                for stream in self._running:
                    self._ray.cancel(stream)  # as Ctrl-C there: the state is saved
            for stream in self._ray.wait(list(self._running), timeout=_POLL_S)[0]:
                self._take(stream, self._running[stream])
        if self._stopping:
            raise Interrupted(
                "stopped by a signal; folds under way are saved, the same command does the rest",
                signals.number,
            )

    def _take(self, stream: Any, attempt: _Attempt) -> None:
        """One thing that a task says."""
        event = _next(self._ray, stream)
        if isinstance(event, str):
            attempt.node, attempt.started = event, time.monotonic()
            ordinal = f", attempt {attempt.number}" if attempt.number > 1 else ""
            say(f"fold {attempt.fold}: started on {event}{ordinal}")
            return
        del self._running[stream]
        if event.error:
            self._not_finished(attempt, event)
        else:
            seconds = time.monotonic() - attempt.started
            say(f"fold {attempt.fold}: finished in {seconds:.0f} s on {attempt.node}")

    def _not_finished(self, attempt: _Attempt, event: _Outcome) -> None:
        fold = attempt.fold
        self._ends.append((fold, event.retries))
        again = self._ends.count((fold, event.retries)) <= event.retries
        if self._stopping:
            say(f"fold {fold}: stopped on {attempt.node}")
            return
        word = "started again" if again else "not finished"
        say(f"fold {fold}: {word} after {event.error} ({attempt.node})")
        if again:
            self.begin(fold, attempt.number + 1)
        else:
            self.failed[fold] = event.error


def _next(ray: Any, stream: Any) -> str | _Outcome:
    """What a task says next: the node it runs on, then how it ended."""
    try:
        return ray.get(next(stream))
    except ray.exceptions.RayTaskError as error:  # outside what the task guards: no dftk there?
        return _Outcome(f"{type(error.cause).__name__}: {error.cause}", _RAISED)
    except (ray.exceptions.RayError, StopIteration) as error:
        return _Outcome(f"the loss of its worker ({type(error).__name__})", _LOST)


def _train_fold(
    config: Config, fold: int, path: str, options: ExecutionOptions, mark: str, together: int
) -> Iterator[str | _Outcome]:
    """Runs on a node; yields its name, then how the training ended."""
    yield f"{platform.node()}, process {os.getpid()}"
    os.environ[limits.SIBLINGS] = str(together)
    cpu.prepare()
    workdir = Workdir(path)
    try:
        require_mark(workdir, mark)
        workdir.fold_dir(fold).mkdir(exist_ok=True)
        with output_into(workdir.fold_dir(fold) / "train.log"):
            from dftk.training.folds import crossval

            crossval.train_folds(config, [fold], workdir, options)
    except Interrupted as stop:  # by who runs the node: its state is saved, elsewhere it goes on
        yield _Outcome(f"a signal to its worker ({stop})", _LOST)
    except UserError as error:
        yield _Outcome(str(error))
    except Exception as error:
        yield _Outcome(f"{type(error).__name__}: {error}; see fold_{fold}/train.log", _RAISED)
    else:
        yield _Outcome()


def room_per_fold(nodes: Sequence[Mapping[str, Any]], folds: int) -> dict[str, float]:
    """What a fold asks of Ray: one GPU; without any, CPUs such that all folds run at once.

    Args:
      nodes: as ray.nodes() gives them.
      folds: to spread over them.

    Raises:
      UserError: the cluster has neither.
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
    folds_a_node = -(-folds // len(cpus))
    return {"num_gpus": 0, "num_cpus": max(1, min(cpus) // folds_a_node)}


def folds_on_a_node(
    nodes: Sequence[Mapping[str, Any]], room: Mapping[str, float], folds: int
) -> int:
    """The most folds that share one node's memory."""
    kind, need = ("GPU", room["num_gpus"]) if room["num_gpus"] else ("CPU", room["num_cpus"])
    offered = [node["Resources"].get(kind, 0) for node in nodes if node["Alive"]]
    return max(1, min(folds, int(max(offered) // need)))


def _words(room: Mapping[str, float]) -> str:
    if room["num_gpus"]:
        return f"{room['num_gpus']} GPU"
    return f"{room['num_cpus']} CPU{'s' if room['num_cpus'] > 1 else ''}"
