"""Runs a function on many items in threads, with results in order and in bounded memory."""

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
    """Yields the results in the order of the items. The work stops when the generator is closed.

    Args:
      function: of one item, called in a thread. Its exceptions are raised here, in their turn.
      items: taken only as far as the work goes.
      workers: number of threads.
      ahead: how many further items may be started before a result is waited for.
      cost: of an item with its result, such as bytes of memory; nothing costs if not given.
      budget: the most that started items may cost together. An item that exceeds it waits for the
        others, and an item that exceeds it alone runs alone.

    >>> list(in_order(str.upper, ["a", "b", "c"], workers=2, ahead=1))
    ['A', 'B', 'C']
    """
    threads = concurrent.futures.ThreadPoolExecutor(workers)
    started: collections.deque[tuple[concurrent.futures.Future[Result], int]] = collections.deque()
    held = 0
    try:
        for item in items:
            item_cost = cost(item) if cost else 0
            while started and (len(started) > ahead or held + item_cost > budget):
                future, first_cost = started.popleft()
                held -= first_cost
                yield future.result()
            started.append((threads.submit(function, item), item_cost))
            held += item_cost
        while started:
            yield started.popleft()[0].result()
    finally:
        threads.shutdown(cancel_futures=True)
