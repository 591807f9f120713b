"""Folds side by side on one machine: each in a process of its own, as a scheduler would start it.

A fold that fails takes no other with it. Every process is told what share of the machine is its
own: one GPU, or a part of the CPU's cores; and how many share its memory.
"""

import collections
import contextlib
import ctypes
import dataclasses
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from dftk.runs.workdir import Workdir
from dftk.training.config import Config, as_flags
from dftk.training.execution import ExecutionOptions
from dftk.training.resume.interruption import Interrupted, StopRequest, catch_signals
from dftk.utils import limits
from dftk.utils.errors import UsageError
from dftk.utils.progress import ERASE, Board

_PR_SET_PDEATHSIG = 1  # prctl(2): be sent a signal when the parent dies
_POLL_S = 0.2


@dataclasses.dataclass(frozen=True)
class Slot:
    """One process's share of the machine."""

    environment: Mapping[str, str]
    cores: Sequence[int]


def slots(processes: int, gpus: Sequence[str], cores: Sequence[int]) -> list[Slot]:
    """Shares a machine out.

    Args:
      processes: at once.
      gpus: as CUDA_VISIBLE_DEVICES names them; dealt out in turn, several processes to one GPU
        where there are more.
      cores: of the CPU, dealt out evenly; one may serve several processes.
    """
    result = []
    for index in range(processes):
        environment = {limits.SIBLINGS: str(processes)}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        if processes > len(gpus) > 0:  # else the first process takes all memory of its GPU
            environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        result.append(Slot(environment, cores[index::processes] or [cores[index % len(cores)]]))
    return result


def train_folds(
    config: Config,
    folds: Sequence[int],
    workdir: Workdir,
    options: ExecutionOptions,
    gpus: Sequence[str],
) -> dict[int, str]:
    """Trains the folds that the workdir lacks, several at once; a failed one is tried once more.

    Args:
      config: of the run.
      folds: indices.
      workdir: of the run, opened.
      options: how many at once, and what each is to do.
      gpus: to deal out; none on a CPU.

    Returns:
      the folds that failed twice, each with its last words.

    Raises:
      Interrupted: by a signal; the folds that were being trained are saved.
    """
    todo = [fold for fold in folds if not workdir.is_finished(fold)]
    processes = min(options.processes or max(1, len(gpus)), len(todo))
    cores = sorted(os.sched_getaffinity(0))
    with catch_signals() as signals:
        pool = _Pool(config, workdir, options, slots(processes, gpus, cores), signals)
        failed = pool.run(todo)
    if signals.number:
        raise Interrupted(
            "stopped by a signal; folds under way are saved, the same command goes on from there",
            signals.number,
        )
    return failed


def tied(cores: Sequence[int]) -> Callable[[], None]:
    """For a process to call before it becomes another: it ends with its parent, on these cores."""
    libc = ctypes.CDLL(None)  # loaded here: little may be done between fork and exec

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, cores)

    return prepare


@dataclasses.dataclass
class _Child:
    """A process that trains one fold, and its output."""

    fold: int
    attempt: int
    slot: Slot
    process: subprocess.Popen
    output: int  # file descriptor
    log: IO[bytes]
    rest: bytes = b""  # of a line that has not ended
    last: str = ""  # line of note

    def read(self, board: Board) -> bool:
        """Takes some of the output, all to the log, what is of note to the board; False at its end.

        On a terminal the rest that has not ended is the fold's live line.
        """
        data = b""
        with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
            data = os.read(self.output, 1 << 16)
        self.log.write(data)
        self.log.flush()
        *lines, self.rest = (self.rest + data).replace(ERASE.encode(), b"\n").split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            if text.startswith(("fold ", "error: ")):
                self.last = text
                board.line(text)
        board.live(self.fold, self.rest.decode(errors="replace"))
        return bool(data)


class _Pool:
    """The processes, and the folds that wait for one."""

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        options: ExecutionOptions,
        free: list[Slot],
        signals: StopRequest,
    ):
        self._config, self._workdir, self._options = config, workdir, options
        self._free, self._signals = free, signals
        self._running: dict[int, _Child] = {}  # by file descriptor
        self._waiting: collections.deque[tuple[int, int]] = collections.deque()
        self._failed: dict[int, str] = {}
        self._board = Board()
        self._told = False  # the running ones, that they are to stop

    def run(self, folds: Sequence[int]) -> dict[int, str]:
        """Until every fold is trained, or failed twice, or a signal came."""
        self._waiting.extend((fold, 1) for fold in folds)
        while self._waiting or self._running:
            while self._waiting and self._free:
                child = self._start(*self._waiting.popleft(), self._free.pop())
                self._running[child.output] = child
            for output in select.select(list(self._running), [], [], _POLL_S)[0]:
                self._running[output].read(self._board)
            for child in [c for c in self._running.values() if c.process.poll() is not None]:
                self._finish(child)
            if self._signals.number and not self._told:
                self._told = True
                self._waiting.clear()
                for child in self._running.values():
                    child.process.send_signal(signal.SIGTERM)
        return self._failed

    def _start(self, fold: int, attempt: int, slot: Slot) -> _Child:
        """Starts a fold as a task of an array of jobs, on a terminal of its own if we have one."""
        command = [sys.executable, "-m", "dftk.train", "--fold=job"]
        command += [f"--workdir={self._workdir.path}", *as_flags(self._config)]
        if self._options.checkpoint_steps:
            command.append(f"--checkpoint_steps={self._options.checkpoint_steps}")
        folder = self._workdir.fold_dir(fold)
        folder.mkdir(exist_ok=True)
        output, theirs = os.openpty() if self._board.is_terminal else os.pipe()
        process = subprocess.Popen(
            command,
            env={**os.environ, **slot.environment, "DFTK_FOLD": str(fold)},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=tied(slot.cores),
        )
        os.close(theirs)
        self._board.line(f"fold {fold}: started, log in {folder / 'train.log'}")
        return _Child(fold, attempt, slot, process, output, (folder / "train.log").open("ab"))

    def _finish(self, child: _Child) -> None:
        """Takes the rest of the output of a process that has ended, and what came of it."""
        while select.select([child.output], [], [], 0)[0] and child.read(self._board):
            pass
        os.close(child.output)
        child.log.close()
        self._board.end(child.fold)
        del self._running[child.output]
        self._free.append(child.slot)
        status = child.process.returncode
        if status == 0 or self._signals.number:
            return
        words = f"exit status {status}, {child.last or 'see its train.log'}"
        self._board.line(f"fold {child.fold}: attempt {child.attempt} failed: {words}")
        if child.attempt == 1 and status != UsageError.exit_status:
            self._waiting.append((child.fold, 2))
        else:
            self._failed[child.fold] = words
