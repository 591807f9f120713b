"""How far long work is, on stderr: a live line on a terminal, plain lines elsewhere; how fast."""

import dataclasses
import shutil
import sys
import time

ERASE = "\r\x1b[K"  # back to the start of a terminal's line, and clear it


@dataclasses.dataclass
class Throughput:
    """Examples and seconds of calls that did not compile, and the seconds of those that did."""

    examples: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    compile_seconds: float = 0.0

    @property
    def examples_per_s(self) -> float:
        """NaN as long as every call compiled."""
        return self.examples / self.seconds if self.seconds else float("nan")

    @property
    def ms_per_step(self) -> float:
        """Likewise."""
        return 1000 * self.seconds / self.steps if self.steps else float("nan")

    @property
    def input_wait(self) -> float:
        """Share of the time in which a step waited for its batch."""
        return self.waited / self.seconds if self.seconds else float("nan")

    def add(self, other: "Throughput") -> None:
        """Counts more calls."""
        self.examples += other.examples
        self.steps += other.steps
        self.seconds += other.seconds
        self.waited += other.waited
        self.compile_seconds += other.compile_seconds

    def summary(self) -> dict[str, float]:
        """For metrics.json."""
        return {
            "examples_per_s": self.examples_per_s,
            "ms_per_step": self.ms_per_step,
            "input_wait": self.input_wait,
            "train_seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
        }


class Progress:
    """Counts examples of one epoch (or of a load) and says how fast and how long still.

    Args:
      title: what is counted, "fold 0 finetune 3/30".
      total: examples in all.
    """

    interval = 0.5  # seconds between two redraws
    line_interval = 60.0  # and between two lines off a terminal

    def __init__(self, title: str, total: int):
        self._title, self._total = title, total
        self._started = time.perf_counter()
        self._live = sys.stderr.isatty()
        self._drawn = 0.0 if self._live else self._started

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._started

    def update(self, done: int, rate: float | None = None, text: str = "") -> None:
        """Redraws the line, at most twice a second; off a terminal a new one, once a minute.

        Args:
          done: examples so far.
          rate: examples per second, or NaN as long as it is not known; since it began, if not
            given.
          text: what else to say.
        """
        now = time.perf_counter()
        if now - self._drawn < (self.interval if self._live else self.line_interval):
            return
        self._drawn = now
        if rate is None:
            rate = done / self.seconds
        left = duration((self._total - done) / rate) if rate > 0 else ""
        speed = f"{rate:.1f} img/s  {left} left" if left else ""
        line = f"{self._title}  {done}/{self._total}  {speed}  {text}"
        if self._live:
            sys.stderr.write(ERASE + line)
            sys.stderr.flush()
        else:
            say(line.rstrip())

    def close(self, text: str) -> None:
        """Replaces the live line by a final one."""
        say(f"{self._title}  {text}", ERASE if self._live else "")


class Count:
    """Counts files whose number is not known beforehand: a live line on a terminal, elsewhere a
    line now and then.

    Args:
      title: what is done to them.
      quiet: nothing before the last line.
    """

    interval = 30.0  # seconds between two lines off a terminal

    def __init__(self, title: str, quiet: bool = False):
        self._title, self._quiet = title, quiet
        self._live = sys.stderr.isatty() and not quiet
        self._started = self._drawn = time.perf_counter()
        self.done = self.failed = 0

    def step(self, waited: float) -> None:
        """One more file is done; `waited` is the share of time without input, or NaN."""
        self.done += 1
        now = time.perf_counter()
        if self._quiet or now - self._drawn < (Progress.interval if self._live else self.interval):
            return
        self._drawn = now
        if self._live:
            sys.stderr.write(f"{ERASE}{self._text(waited)}")
            sys.stderr.flush()
        else:
            say(self._text(waited))

    def fail(self, text: str) -> None:
        """One could not be done; the line stays."""
        self.failed += 1
        say(text, ERASE if self._live else "")

    def close(self, waited: float) -> None:
        """The last line: files, failed, images per second, seconds."""
        seconds = time.perf_counter() - self._started
        say(f"{self._text(waited)}, {seconds:.1f} s", ERASE if self._live else "")

    def _text(self, waited: float) -> str:
        rate = self.done / max(time.perf_counter() - self._started, 1e-9)
        wait = f", {waited:.0%} waiting for input" if waited == waited else ""
        files = f"{self.done + self.failed:,} files, {self.failed:,} failed"
        return f"{self._title}: {files}, {rate:.1f} img/s{wait}"


class Board:
    """A live line for each of several processes below the lines that stay; off a terminal these
    alone.
    """

    def __init__(self) -> None:
        self.is_terminal = sys.stderr.isatty()
        self._live: dict[int, str] = {}
        self._drawn = 0

    def line(self, text: str) -> None:
        """Writes a line that stays."""
        self._draw(text + "\n")

    def live(self, key: int, text: str) -> None:
        """Sets the live line of one process; "" leaves it as it was."""
        if self.is_terminal and text:
            self._live[key] = text
            self._draw()

    def end(self, key: int) -> None:
        """Removes a live line."""
        self._live.pop(key, None)
        self._draw()

    def _draw(self, above: str = "") -> None:
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        clear = f"\r{up}\x1b[J" if self.is_terminal else ""
        width = shutil.get_terminal_size().columns - 1  # a longer line would take two rows
        lines = [text[:width] + "\n" for _, text in sorted(self._live.items())]
        self._drawn = len(lines)
        sys.stderr.write(clear + above + "".join(lines))
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """In words: 40 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def say(text: str, prefix: str = "") -> None:
    """One line on stderr, at once."""
    print(prefix + text, file=sys.stderr, flush=True)
