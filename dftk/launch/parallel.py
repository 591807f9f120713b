"""Folds side by side on one machine, each in a process of its own.

A process is started as a scheduler would start it, by `--fold=job`. It gets one GPU, or a part of
the CPU's cores, and is told how many processes share the memory. A fold that fails does not affect
the others.
"""

import collections
import dataclasses
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dftk.launch import child_process
from dftk.launch.machine_shares import MachineShare, split_machine
from dftk.runs.workdir import Workdir
from dftk.training.config import Config, as_flags
from dftk.training.execution import ExecutionOptions
from dftk.training.resume.interruption import Interrupted, StopRequest, catch_signals
from dftk.utils import events
from dftk.utils.errors import UsageError
from dftk.utils.progress import MultiProgress

_POLL_S = 0.2
_ATTEMPTS = 2


def train_folds(
    config: Config,
    folds: Sequence[int],
    workdir: Workdir,
    options: ExecutionOptions,
    gpus: Sequence[str],
) -> dict[int, str]:
    """Trains the folds that the workdir lacks, several at once. A failed fold is tried once more.

    Args:
      config: of the run.
      folds: indices.
      workdir: of the run, opened.
      options: number of processes, and what each of them does.
      gpus: as CUDA_VISIBLE_DEVICES names them, to be shared out; none on a CPU.

    Returns:
      For each fold that failed twice, why.

    Raises:
      Interrupted: a signal came. The folds that were being trained are saved.
    """
    unfinished = [fold for fold in folds if not workdir.is_finished(fold)]
    processes = min(options.processes or max(1, len(gpus)), len(unfinished))
    shares = split_machine(processes, gpus, sorted(os.sched_getaffinity(0)))
    with catch_signals() as signals:
        pool = _ProcessPool(config, workdir, options, shares, signals)
        failed = pool.run(unfinished)
    if signals.number:
        raise Interrupted(
            "stopped by a signal; folds under way are saved, the same command goes on from there",
            signals.number,
        )
    return failed


@dataclasses.dataclass
class _FoldProcess:
    """A process that trains one fold.

    Attributes:
      fold: index.
      attempt: 1 for the first.
      share: of the machine.
      process: itself.
      pipe: by which it reports events.
      log: file with all that it writes to stdout and stderr.
      error: the event of the error that ended it, if it reported one.
      is_reporting: whether its end of the pipe is open.
    """

    fold: int
    attempt: int
    share: MachineShare
    process: subprocess.Popen
    pipe: events.EventPipe
    log: Path
    error: events.Event | None = None
    is_reporting: bool = True

    def read(self, progress: MultiProgress) -> bool:
        """Reads events that have come, and shows them; returns False at their end."""
        if (found := self.pipe.read()) is None:
            self.is_reporting = False  # at its end, `select` would return at once, again and again
            return False
        for event in found:
            if event.kind == events.LIVE:
                progress.live(self.fold, event.text)
            elif event.kind == events.MILESTONE:
                progress.line(self.fold, event.text)
            else:
                self.error = event
        return True

    def failure(self) -> str:
        """Why it failed, in words, once it has ended."""
        words = child_process.exit_words(self.process.returncode)
        if self.error is None:
            return f"{words}, see {self.log}"
        if self.error.is_user_error:
            return f"{words}, {self.error.text}"
        return f"{words}, {self.error.error_type}: {self.error.text}; see {self.log}"


class _ProcessPool:
    """The processes that run, and the folds that wait for one.

    Args:
      config: of the run.
      workdir: of the run.
      options: what each process does.
      shares: of the machine, one for each process that may run at once.
      signals: that ask for an end.
    """

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        options: ExecutionOptions,
        shares: Sequence[MachineShare],
        signals: StopRequest,
    ):
        self._config, self._workdir, self._options = config, workdir, options
        self._free_shares, self._signals = list(shares), signals
        self._running: list[_FoldProcess] = []
        self._waiting: collections.deque[tuple[int, int]] = collections.deque()  # fold, attempt
        self._failed: dict[int, str] = {}
        self._progress = MultiProgress()
        self._asked_to_stop = False

    def run(self, folds: Sequence[int]) -> dict[int, str]:
        """Runs until every fold is trained or has failed for good, or a signal came.

        Returns:
          For each fold that failed, why.
        """
        self._waiting.extend((fold, 1) for fold in folds)
        while self._waiting or self._running:
            while self._waiting and self._free_shares:
                self._running.append(self._start(*self._waiting.popleft(), self._free_shares.pop()))
            self._read_events()
            for child in [c for c in self._running if c.process.poll() is not None]:
                self._finish(child)
            if self._signals.number and not self._asked_to_stop:
                self._asked_to_stop = True
                self._waiting.clear()
                for child in self._running:
                    child.process.send_signal(signal.SIGTERM)
        return self._failed

    def _start(self, fold: int, attempt: int, share: MachineShare) -> _FoldProcess:
        command = [sys.executable, "-m", "dftk.train", "--fold=job"]
        command += [f"--workdir={self._workdir.path}", *as_flags(self._config)]
        if self._options.checkpoint_steps:
            command.append(f"--checkpoint_steps={self._options.checkpoint_steps}")
        folder = self._workdir.fold_dir(fold)
        folder.mkdir(exist_ok=True)
        path, pipe = folder / "train.log", events.EventPipe()
        variables = {**share.environment, **pipe.environment, "DFTK_FOLD": str(fold)}
        with path.open("ab") as log:
            process = child_process.start(
                command,
                cores=share.cores,
                env={**os.environ, **variables},
                pass_fds=[pipe.child_end],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        pipe.close_child_end()
        self._progress.line(fold, f"fold {fold}: started, log in {path}")
        return _FoldProcess(fold, attempt, share, process, pipe, path)

    def _read_events(self) -> None:
        """Waits for events, and shows those that have come."""
        by_pipe = {child.pipe: child for child in self._running if child.is_reporting}
        for pipe in select.select(list(by_pipe), [], [], _POLL_S)[0]:
            by_pipe[pipe].read(self._progress)

    def _finish(self, child: _FoldProcess) -> None:
        """Reads the last events of a process that has ended, and decides what follows."""
        while child.is_reporting and select.select([child.pipe], [], [], 0)[0]:
            child.read(self._progress)
        child.pipe.close()
        self._progress.end(child.fold)
        self._running.remove(child)
        self._free_shares.append(child.share)
        status = child.process.returncode
        if status == 0 or self._signals.number:
            return
        self._progress.line(
            child.fold, f"fold {child.fold}: attempt {child.attempt} failed: {child.failure()}"
        )
        if child.attempt < _ATTEMPTS and status != UsageError.exit_status:
            self._waiting.append((child.fold, child.attempt + 1))
        else:
            self._failed[child.fold] = child.failure()
