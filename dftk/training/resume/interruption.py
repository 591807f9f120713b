"""SIGTERM and Ctrl-C become a question that the training loop asks between two calls."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from dftk.utils.errors import UserError

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
    """Inside the block Ctrl-C ends the process, even while TensorFlow waits in C++.

    Python's handlers would not run until that returns, and other threads do not either. SIGTERM
    TensorFlow takes for itself while it waits for workers: a scheduler then has to kill.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


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
