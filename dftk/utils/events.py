"""Events that a process reports to the process that started it, as lines of JSON in a pipe.

The parent makes an `EventPipe`, gives its write end to the child, and names it in the child's
environment. The child calls `connect` once. From then on `report` writes to the pipe; in a process
that nobody listens to it does nothing. Stdout and stderr remain free for people.
"""

import dataclasses
import json
import os
import threading
from collections.abc import MutableMapping

from dftk.utils.errors import UserError

DESCRIPTOR = "DFTK_EVENTS_FD"  # environment variable: the file descriptor of the write end

MILESTONE = "milestone"  # a line that says how far the work is; the parent shows it, too
LIVE = "live"  # what the process does now; replaces the LIVE event before it
ERROR = "error"  # why the process ends


@dataclasses.dataclass(frozen=True)
class Event:
    """One report of a child process.

    Attributes:
      kind: MILESTONE, LIVE or ERROR.
      text: for people; an error's message.
      error_type: name of the error's class; empty for the other kinds.
      is_user_error: whether the error is one that the user can mend, see dftk.utils.errors.
    """

    kind: str
    text: str
    error_type: str = ""
    is_user_error: bool = False


_lock = threading.Lock()  # long lines of two threads would mix
_descriptor: int | None = None  # of the pipe to the parent, if it listens


def connect(environment: MutableMapping[str, str]) -> None:
    """Opens the channel to the parent, if the environment names one.

    The variable is removed and the descriptor is closed in processes that this one starts: their
    events are not this process's.
    """
    global _descriptor
    if (given := environment.pop(DESCRIPTOR, None)) is not None:
        _descriptor = int(given)
        os.set_inheritable(_descriptor, False)


def is_connected() -> bool:
    """Whether a parent process listens."""
    return _descriptor is not None


def report(event: Event) -> None:
    """Sends an event to the parent, if it listens."""
    global _descriptor
    with _lock:
        if _descriptor is None:
            return
        line = json.dumps(dataclasses.asdict(event)).encode() + b"\n"
        try:
            while line:
                line = line[os.write(_descriptor, line) :]
        except OSError:  # the parent has gone, or the descriptor was another process's
            _descriptor = None


def report_error(error: BaseException) -> None:
    """Sends the error that ends this process to the parent, if it listens."""
    report(Event(ERROR, str(error), type(error).__name__, isinstance(error, UserError)))


class EventPipe:
    """A pipe by which one child process reports events; `select` takes it as a file.

    Attributes:
      child_end: file descriptor for the child, to be passed on under its number.
    """

    def __init__(self) -> None:
        self._read_end, self.child_end = os.pipe()
        self._incomplete = b""  # the start of a line whose end has not come

    @property
    def environment(self) -> dict[str, str]:
        """What the child's environment must hold."""
        return {DESCRIPTOR: str(self.child_end)}

    def fileno(self) -> int:
        """The file descriptor to wait for."""
        return self._read_end

    def close_child_end(self) -> None:
        """Closes the parent's copy of the child's end; to be called once the child has started."""
        os.close(self.child_end)

    def read(self) -> list[Event] | None:
        """Returns events that have come, perhaps none; None at the end. Waits for data."""
        if not (data := os.read(self._read_end, 1 << 16)):
            return None
        *lines, self._incomplete = (self._incomplete + data).split(b"\n")
        return [Event(**json.loads(line)) for line in lines]

    def close(self) -> None:
        """Closes the parent's end."""
        os.close(self._read_end)
