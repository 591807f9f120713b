"""Work done ahead in threads, its results in order, in bounded memory."""

import collections
import concurrent.futures
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    ahead: int,
    cost: Callable[[Item], int] | None = None,
    budget: int = 0,
) -> Generator[Result, None, None]:
    """Results in the order of the items; a consumer that stops early stops the work.

    Args:
      function: of one item, called in a thread; what it raises is raised here, in its turn.
      items: taken no further than the work goes.
      workers: threads.
      ahead: at most so many other items are begun before a result is waited for.
      cost: of an item and its result, such as bytes of memory; none if not given.
      budget: an item that would cost more, with those begun and not handed out, waits for them.
    """
    threads = concurrent.futures.ThreadPoolExecutor(workers)
    begun: collections.deque[tuple[concurrent.futures.Future[Result], int]] = collections.deque()
    held = 0
    try:
        for item in items:
            more = cost(item) if cost else 0
            while begun and (len(begun) > ahead or held + more > budget):
                future, less = begun.popleft()
                held -= less
                yield future.result()
            begun.append((threads.submit(function, item), more))
            held += more
        while begun:
            yield begun.popleft()[0].result()
    finally:
        threads.shutdown(cancel_futures=True)
