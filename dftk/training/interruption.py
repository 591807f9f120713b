"""SIGTERM and Ctrl-C become a question that the training loop asks between two calls."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from dftk.config import UserError

SAVED = 75  # EX_TEMPFAIL of sysexits.h: try again, as schedulers can be told


class Interrupted(UserError):
    """Stopped by a signal, with the state saved."""

    def __init__(self, text: str, number: int):
        super().__init__(text, number)
        self.number = number
        self.exit_status = 130 if number == signal.SIGINT else SAVED

    def __str__(self) -> str:
        return self.args[0]


class Interruption:
    """The signal that asked this process to stop, if any."""

    number = 0

    def handle(self, number: int, _: FrameType | None) -> None:
        """A signal handler."""
        if self.number == number == signal.SIGINT:  # twice: now
            raise KeyboardInterrupt
        self.number = number


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Inside the block SIGTERM and SIGINT end the process, even while TensorFlow waits in C++.

    Python's handlers would not run until that returns, and TensorFlow puts one of its own in the
    way. So the signals are blocked, here and in threads that start meanwhile, and waited for.
    """
    numbers, over = {signal.SIGTERM, signal.SIGINT}, threading.Event()

    def watch() -> None:
        while not over.is_set():
            if (caught := signal.sigtimedwait(numbers, 0.2)) is not None:
                print("stopped by a signal, nothing was trained", file=sys.stderr, flush=True)
                os._exit(128 + caught.si_signo)

    watcher = threading.Thread(target=watch, daemon=True)
    former = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextlib.contextmanager
def listening() -> Iterator[Interruption]:
    """Inside the block SIGTERM and SIGINT are noted, and the former handlers rest.

    Outside the main thread, where Python allows no handlers, nothing is ever noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    former = [signal.signal(number, interruption.handle) for number in numbers]
    try:
        yield interruption
    finally:
        for number, handler in zip(numbers, former):
            signal.signal(number, handler)
