"""Child processes that end with their parent."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2): the signal that a process gets when its parent dies


def start(
    command: Sequence[str], *, cores: Sequence[int] | None = None, **options: Any
) -> subprocess.Popen:
    """Starts a process that gets SIGTERM when this one dies, even by SIGKILL.

    Args:
      command: the program and its arguments.
      cores: of the CPU, to which the process is restricted; None is those of this process.
      **options: as subprocess.Popen takes them.
    """
    libc = ctypes.CDLL(None)  # loaded here: between fork and exec little is safe

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if cores is not None:
            os.sched_setaffinity(0, cores)

    return subprocess.Popen(command, preexec_fn=prepare, **options)


def exit_words(status: int) -> str:
    """Returns the end of a process in words: its exit status, or the signal that killed it."""
    if status >= 0:
        return f"exit status {status}"
    return f"exit status {status} ({signal.Signals(-status).name})"
