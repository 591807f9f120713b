"""Progress of long work on stderr, and its speed.

On a terminal one line is redrawn in place. Elsewhere plain lines are written now and then. A child
process of ours also reports its progress as events, see dftk.utils.events.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable

from dftk.utils import events

_ERASE_LINE = "\r\x1b[K"  # go to the start of the terminal's line, and clear it
_DEFAULT_COLUMNS = 80

REDRAW_S = 0.5  # seconds between two drawings of a live line
PLAIN_S = 60.0  # seconds between two plain lines where stderr is no terminal


@dataclasses.dataclass
class Throughput:
    """Examples, steps and seconds of calls, such as training steps.

    A call that compiled counts in `compile_seconds` only.

    Attributes:
      examples: number of examples.
      steps: number of calls.
      seconds: duration of these calls.
      waited: the part of `seconds` in which a call waited for its input.
      compile_seconds: duration of the calls that compiled.
    """

    examples: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    compile_seconds: float = 0.0

    @property
    def examples_per_s(self) -> float:
        """Examples per second; NaN as long as every call compiled."""
        return self.examples / self.seconds if self.seconds else float("nan")

    @property
    def ms_per_step(self) -> float:
        """Milliseconds per step; NaN as long as every call compiled."""
        return 1000 * self.seconds / self.steps if self.steps else float("nan")

    @property
    def input_wait(self) -> float:
        """Share of the time in which calls waited for input; NaN as long as every call compiled."""
        return self.waited / self.seconds if self.seconds else float("nan")

    def add(self, other: "Throughput") -> None:
        """Adds the calls that `other` counted."""
        self.examples += other.examples
        self.steps += other.steps
        self.seconds += other.seconds
        self.waited += other.waited
        self.compile_seconds += other.compile_seconds

    def summary(self) -> dict[str, float]:
        """Returns the values for metrics.json."""
        return {
            "examples_per_s": self.examples_per_s,
            "ms_per_step": self.ms_per_step,
            "input_wait": self.input_wait,
            "train_seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
        }


class Progress:
    """Progress of work on a known number of examples: its speed and the time that is left.

    Args:
      title: what is counted, such as "fold 0  finetune 3/30".
      total: number of examples.
      milestone: whether the last line is a milestone, see `say`.
    """

    def __init__(self, title: str, total: int, *, milestone: bool = False):
        self._title, self._total, self._milestone = title, total, milestone
        self._started = time.perf_counter()
        self._line = _LiveLine(PLAIN_S)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.perf_counter() - self._started

    def update(self, done: int, rate: float | None = None, text: str = "") -> None:
        """Shows the progress, if it is time to.

        Args:
          done: number of examples so far.
          rate: examples per second; NaN if it is not known yet. If it is not given, it is the mean
            since the work began.
          text: more to show, at the end of the line.
        """

        def line() -> str:
            speed = done / self.seconds if rate is None else rate
            known = ""
            if speed > 0:
                known = f"{speed:.1f} img/s  {duration((self._total - done) / speed)} left"
            return f"{self._title}  {done}/{self._total}  {known}  {text}"

        self._line.update(line)

    def close(self, text: str) -> None:
        """Replaces the live line by a last line, which stays."""
        say(f"{self._title}  {text}", milestone=self._milestone)


class FileCounter:
    """Progress of work on files whose number is not known beforehand.

    Args:
      title: what is done to the files.
      quiet: whether to write failures and the last line only.
    """

    plain_s = 30.0  # seconds between two plain lines where stderr is no terminal

    def __init__(self, title: str, quiet: bool = False):
        self._title, self._quiet = title, quiet
        self._started = time.perf_counter()
        self._line = _LiveLine(self.plain_s)
        self.done = self.failed = 0

    def step(self, input_wait: float) -> None:
        """Counts one more file that is done.

        Args:
          input_wait: share of the time in which the work waited for input; NaN if not known.
        """
        self.done += 1
        if not self._quiet:
            self._line.update(lambda: self._text(input_wait))

    def fail(self, text: str) -> None:
        """Counts one more file that failed, and writes a line that stays."""
        self.failed += 1
        say(text)

    def close(self, input_wait: float) -> None:
        """Writes the last line: files, failures, images per second, seconds."""
        seconds = time.perf_counter() - self._started
        say(f"{self._text(input_wait)}, {seconds:.1f} s")

    def _text(self, input_wait: float) -> str:
        rate = self.done / max(time.perf_counter() - self._started, 1e-9)
        wait = f", {input_wait:.0%} waiting for input" if input_wait == input_wait else ""
        files = f"{self.done + self.failed:,} files, {self.failed:,} failed"
        return f"{self._title}: {files}, {rate:.1f} img/s{wait}"


class _LiveLine:
    """A line about work under way.

    On a terminal it is redrawn every REDRAW_S; a parent process is told of it as often. Elsewhere
    it is written as a plain line every `plain_s` seconds, the first time after as many.
    """

    def __init__(self, plain_s: float):
        self._plain_s = plain_s
        self._is_terminal = sys.stderr.isatty()
        self._last_drawn = float("-inf")
        self._last_written = time.perf_counter()

    def update(self, text: Callable[[], str]) -> None:
        """Shows the text that the function returns, if it is time to."""
        now = time.perf_counter()
        if now - self._last_drawn >= REDRAW_S and (self._is_terminal or events.is_connected()):
            self._last_drawn = now
            line = text().rstrip()
            events.report(events.Event(events.LIVE, line))
            if self._is_terminal:
                sys.stderr.write(_ERASE_LINE + _cut(line))
                sys.stderr.flush()
        if now - self._last_written >= self._plain_s and not self._is_terminal:
            self._last_written = now
            say(text().rstrip())


class MultiProgress:
    """A live line for each of several child processes, below the lines that stay.

    Where stderr is no terminal, a live line is written as a plain line, and only if its process has
    had no other line for PLAIN_S.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._live: dict[int, str] = {}  # by the number of the process
        self._last_written: dict[int, float] = {}  # time of each process's last plain line
        self._rows = 0  # of live lines on the terminal

    def line(self, process: int, text: str) -> None:
        """Writes a line of a process that stays."""
        self._last_written[process] = time.perf_counter()
        if self._is_terminal:
            self._draw(text + "\n")
        else:
            say(text)

    def live(self, process: int, text: str) -> None:
        """Replaces the live line of a process."""
        if self._is_terminal:
            self._live[process] = text
            self._draw()
            return
        now = time.perf_counter()
        if now - self._last_written.setdefault(process, now) >= PLAIN_S:
            self.line(process, text)

    def end(self, process: int) -> None:
        """Removes the live line of a process."""
        self._last_written.pop(process, None)
        if self._live.pop(process, None) is not None:
            self._draw()

    def _draw(self, above: str = "") -> None:
        up = f"\x1b[{self._rows}A" if self._rows else ""
        lines = [_cut(text) + "\n" for _, text in sorted(self._live.items())]
        self._rows = len(lines)
        sys.stderr.write(f"\r{up}\x1b[J{above}{''.join(lines)}")
        sys.stderr.flush()


def _cut(text: str) -> str:
    """Cuts a line to one row of the terminal: what it wraps to could not be erased."""
    return text[: _columns() - 1]


def _columns() -> int:
    """Width of stderr's terminal; the variable COLUMNS wins, as in shutil.get_terminal_size.

    That function asks stdout's terminal, but stdout may be a file.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _DEFAULT_COLUMNS
    except OSError:
        return _DEFAULT_COLUMNS


def duration(seconds: float) -> str:
    """Returns a duration in words: 40 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def say(text: str, *, milestone: bool = False) -> None:
    """Writes a line to stderr at once. It replaces a live line of the terminal.

    Args:
      text: the line.
      milestone: whether the line is about how far the work has come. A parent process shows the
        milestones of its child processes.
    """
    print((_ERASE_LINE if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)
    if milestone:
        events.report(events.Event(events.MILESTONE, text))
