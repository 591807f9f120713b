import threading
import time

import pytest

from tfds_rvf10k.executors import Beam, Threads


def double(item):
    time.sleep(0.01 * (item % 3))  # so that they do not end in order
    return 2 * item


def test_threads_keep_the_order_and_say_how_far_they_are(capfd):
    assert list(Threads(3).run(double, range(20), "doubling", lambda _: 5)) == [
        2 * item for item in range(20)
    ]
    assert "doubling: 100 images" in capfd.readouterr().err


def test_threads_begin_only_a_few_items_ahead():
    started = []
    results = Threads(2).run(started.append, range(100), "x", lambda _: 1)
    next(results)
    results.close()
    assert len(started) < 10


def test_threads_work_side_by_side():
    both = threading.Barrier(2, timeout=10)
    assert len(list(Threads(2).run(lambda _: both.wait(), range(2), "x", lambda _: 1))) == 2


@pytest.mark.parametrize("executor", ["threads", "beam"])
def test_what_the_function_raises_comes_through(executor, tmp_path):
    made = Threads(2) if executor == "threads" else Beam("DirectRunner", None, str(tmp_path))
    with pytest.raises(Exception, match="division by zero"):
        list(made.run(reciprocal, [1, 0, 2], "dividing", lambda _: 1))


def reciprocal(item):
    return 1 / item


def test_beam_keeps_the_order_and_leaves_nothing(tmp_path, capfd):
    beam = Beam("DirectRunner", None, str(tmp_path))
    assert list(beam.run(double, list(range(20)), "doubling x", lambda _: 1)) == [
        2 * item for item in range(20)
    ]
    assert list(tmp_path.iterdir()) == []
    assert "doubling x: 20 images by Beam" in capfd.readouterr().err
