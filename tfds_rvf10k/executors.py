"""Applies a function to many items, in threads of this process or by Apache Beam."""

import collections
import concurrent.futures
import os
import pickle
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from etils import epath

Item = TypeVar("Item")
Result = TypeVar("Result")
_LINE_INTERVAL = 30.0  # seconds between two lines of progress, where stderr is no terminal
_REDRAW_INTERVAL = 0.5  # seconds, on a terminal
_MAX_THREADS = 16  # more threads only wait for the interpreter's lock


class Executor(Protocol):
    """Applies a function to items."""

    def run(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        title: str,
        size: Callable[[Item], int],
    ) -> Iterator[Result]:
        """Yields the results in the order of the items.

        Args:
          function: applied to each item.
          items: the items.
          title: what is done, for the progress on stderr.
          size: the number of images of an item, for the progress.
        """


class Threads:
    """Runs in threads of this process.

    The functions spend their time in hashing, decoding and files, where other threads can run.
    """

    def __init__(self, count: int | None = None):
        self._count = count or min(_MAX_THREADS, len(os.sched_getaffinity(0)))

    def run(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        title: str,
        size: Callable[[Item], int],
    ) -> Iterator[Result]:
        """See Executor. It starts only a few more items than there are threads."""
        progress = _Progress(title, sum(map(size, items)))
        pool = concurrent.futures.ThreadPoolExecutor(self._count)
        started: collections.deque[tuple[concurrent.futures.Future[Result], int]]
        started = collections.deque()
        try:
            for item in items:
                if len(started) > 2 * self._count:
                    future, images = started.popleft()
                    yield future.result()
                    progress.add(images)
                started.append((pool.submit(function, item), size(item)))
            while started:
                future, images = started.popleft()
                yield future.result()
                progress.add(images)
            progress.close()
        finally:
            pool.shutdown(cancel_futures=True)


class Beam:
    """Runs as a Beam pipeline, whose workers write their results below a folder.

    Args:
      runner: Beam's runner or its name; None takes the options' (DirectRunner if they name none).
      options: of the pipeline.
      folder: on a filesystem that this process and the workers share.
    """

    def __init__(self, runner: Any, options: Any, folder: str):
        self._runner, self._options, self._folder = runner, options, folder

    def run(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        title: str,
        size: Callable[[Item], int],
    ) -> Iterator[Result]:
        """See Executor. Results wait in files, so memory does not have to hold all of them."""
        import apache_beam as beam

        folder = epath.Path(self._folder) / f"beam_{title.split()[0]}"
        folder.mkdir(parents=True, exist_ok=True)
        work = _Work(function, str(folder))
        print(f"{title}: {sum(map(size, items)):,} images by Beam", file=sys.stderr, flush=True)
        with beam.Pipeline(runner=self._runner, options=self._options) as pipeline:
            numbered = pipeline | beam.Create(list(enumerate(items)))
            _ = numbered | beam.Reshuffle() | beam.Map(work)
        for index in range(len(items)):
            yield pickle.loads((folder / f"{index:08d}").read_bytes())
        folder.rmtree()


class _Work:
    """Applies the function and writes the result to a file. Another attempt writes the same."""

    def __init__(self, function: Callable[[Any], Any], folder: str):
        self._function, self._folder = function, folder

    def __call__(self, numbered: tuple[int, Any]) -> None:
        index, item = numbered
        path = epath.Path(self._folder) / f"{index:08d}"
        unfinished = epath.Path(f"{path}.{uuid.uuid4().hex}.unfinished")
        unfinished.write_bytes(pickle.dumps(self._function(item)))
        unfinished.replace(path)


class _Progress:
    """Progress on stderr: one line that is redrawn on a terminal, a line at times elsewhere.

    tqdm is not used. It redraws its line in log files as well, and this class would have to stay
    for them.
    """

    def __init__(self, title: str, total: int):
        self._title, self._total, self._done = title, total, 0
        self._on_terminal = sys.stderr.isatty()
        self._interval = _REDRAW_INTERVAL if self._on_terminal else _LINE_INTERVAL
        self._started = self._shown = time.perf_counter()

    def add(self, images: int) -> None:
        self._done += images
        now = time.perf_counter()
        if now - self._shown < self._interval:
            return
        self._shown = now
        rate = self._done / (now - self._started)
        left = f"{(self._total - self._done) / rate:.0f} s left"
        self._write(f"{self._done:,}/{self._total:,} images  {rate:,.0f} img/s  {left}", "")

    def close(self) -> None:
        seconds = time.perf_counter() - self._started
        rate = self._done / max(seconds, 1e-9)
        self._write(f"{self._done:,} images  {rate:,.0f} img/s  {seconds:.1f} s", "\n")

    def _write(self, text: str, end: str) -> None:
        start, end = ("\r\x1b[K", end) if self._on_terminal else ("", "\n")
        print(f"{start}{self._title}: {text}", end=end, file=sys.stderr, flush=True)
