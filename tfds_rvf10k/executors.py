"""One function over many items, results in order: by threads here, or by Apache Beam anywhere."""

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
_EVERY = 30.0  # seconds between two lines off a terminal
_MOST_THREADS = 16  # Python's lock lets no more of them do anything


class Executor(Protocol):
    """Applies a function to items, in order of the items."""

    def run(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        title: str,
        size: Callable[[Item], int],
    ) -> Iterator[Result]:
        """Yields the results; `size` tells how many images an item stands for, for the progress."""


class Threads:
    """In this process. What the function spends its time in (SHA-256, decoding, files) lets other
    threads run.
    """

    def __init__(self, count: int | None = None):
        self._count = count or min(_MOST_THREADS, len(os.sched_getaffinity(0)))

    def run(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        title: str,
        size: Callable[[Item], int],
    ) -> Iterator[Result]:
        """See Executor. At most a few items more than there are threads are begun."""
        progress = _Progress(title, sum(map(size, items)))
        pool = concurrent.futures.ThreadPoolExecutor(self._count)
        begun: collections.deque[tuple[concurrent.futures.Future[Result], int]]
        begun = collections.deque()
        try:
            for item in items:
                if len(begun) > 2 * self._count:
                    future, done = begun.popleft()
                    yield future.result()
                    progress.add(done)
                begun.append((pool.submit(function, item), size(item)))
            while begun:
                future, done = begun.popleft()
                yield future.result()
                progress.add(done)
            progress.close()
        finally:
            pool.shutdown(cancel_futures=True)


class Beam:
    """As a Beam pipeline; its workers write their results below `folder`.

    Args:
      runner: Beam's, or its name; None takes the options' (DirectRunner if they name none).
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
        """See Executor. Results wait in files: they need not fit the driver's memory at once."""
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
    """Applies the function and leaves the result in a file; done again, it leaves the same one."""

    def __init__(self, function: Callable[[Any], Any], folder: str):
        self._function, self._folder = function, folder

    def __call__(self, numbered: tuple[int, Any]) -> None:
        index, item = numbered
        path = epath.Path(self._folder) / f"{index:08d}"
        unfinished = epath.Path(f"{path}.{uuid.uuid4().hex}.unfinished")
        unfinished.write_bytes(pickle.dumps(self._function(item)))
        unfinished.replace(path)


class _Progress:
    """On stderr: a live line on a terminal, elsewhere a line now and then and one at the end."""

    def __init__(self, title: str, total: int):
        self._title, self._total, self._done = title, total, 0
        self._live = sys.stderr.isatty()
        self._started = self._shown = time.perf_counter()

    def add(self, images: int) -> None:
        self._done += images
        now = time.perf_counter()
        if now - self._shown < (0.5 if self._live else _EVERY):
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
        start, end = ("\r\x1b[K", end) if self._live else ("", "\n")
        print(f"{start}{self._title}: {text}", end=end, file=sys.stderr, flush=True)
