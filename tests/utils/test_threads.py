import doctest
import itertools
import threading
import time

import pytest

from dftk.utils import threads


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(threads) == (0, 1)


def test_results_come_in_order_and_errors_in_their_turn():
    def late(number):
        time.sleep(0.01 * (3 - number % 3))
        if number == 5:
            raise ValueError("five")
        return number

    results = threads.in_order(late, range(9), 4, 3)
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


def test_no_more_items_are_started_than_allowed():
    taken = itertools.count()
    for position, _ in enumerate(threads.in_order(lambda item: item, zip(range(50), taken), 4, 6)):
        assert int(repr(taken)[6:-1]) - position <= 8


def test_costly_items_wait_for_the_budget():
    """Two items of cost 40 fit into a budget of 100. An item of cost 1000 runs alone."""
    lock, held, most = threading.Lock(), [0], [0]

    def work(cost):
        with lock:
            held[0] += cost
            most[0] = max(most[0], held[0])
        time.sleep(0.002)
        return cost

    for costs, limit in (([40] * 20, 80), ([40, 1000, 40, 1000], 1000)):
        held[0] = most[0] = 0
        for cost in threads.in_order(work, costs, 8, 16, lambda item: item, 100):
            with lock:
                held[0] -= cost
        assert most[0] <= limit


def test_a_consumer_that_stops_ends_the_threads():
    before = threading.active_count()
    results = threads.in_order(lambda item: item, itertools.count(), 4, 8)
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before
