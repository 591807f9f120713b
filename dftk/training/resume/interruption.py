"""SIGTERM and Ctrl-C as a request that the training loop looks at between two calls."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from dftk.utils.errors import UserError

SAVED = 75  # EX_TEMPFAIL of sysexits.h: try again, as schedulers can be told


class Interrupted(UserError):
    """A signal stopped the run, and its state is saved.

    Attributes:
      number: of the signal.
      exit_status: 130 for SIGINT, as shells have it; 75 for others, at which schedulers try again.
    """

    def __init__(self, text: str, number: int):
        super().__init__(text, number)
        self.number = number
        self.exit_status = 130 if number == signal.SIGINT else SAVED

    def __str__(self) -> str:
        return self.args[0]


class StopRequest:
    """Whether a signal asked this process to stop.

    Attributes:
      number: of the signal; 0 if there was none.
    """

    number = 0

    def handle(self, number: int, _: FrameType | None) -> None:
        """Notes a signal; is a signal handler. A second Ctrl-C stops at once."""
        if self.number == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


@contextlib.contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Notes SIGTERM and SIGINT inside the block, in place of the former handlers.

    Outside the main thread Python allows no handlers: there nothing is ever noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    former = [signal.signal(number, request.handle) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, former):
            signal.signal(number, handler)


@contextlib.contextmanager
def end_at_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C end the process inside the block, even while TensorFlow waits in C++.

    Python's handlers run only when C++ returns, and other threads wait, too. TensorFlow handles
    SIGTERM itself while it waits for workers, so that a scheduler has to kill the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
