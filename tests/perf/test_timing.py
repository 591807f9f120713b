import time

import numpy as np
import pytest

from dftk.perf import timing


def test_compare_times_in_turn_and_tells_how_many_times_faster():
    calls = []

    def work(name, pause):
        def run():
            calls.append(name)
            time.sleep(pause)

        return run

    ratio = timing.compare(work("ours", 0.005), work("theirs", 0.02), rounds=5)
    assert calls == ["ours", "theirs"] + ["theirs", "ours"] * 5
    assert ratio.low <= ratio.median <= ratio.high
    assert 2 < ratio.median < 5
    assert ratio.theirs_s / ratio.ours_s == pytest.approx(ratio.median, rel=0.3)


def scripted(monkeypatch, ours, theirs):
    """Two works that take the given seconds, call after call, without waiting for them."""
    times = {"ours": iter(ours), "theirs": iter(theirs)}
    monkeypatch.setattr(timing, "seconds", lambda work: next(times[work.__name__]))

    def make(name):
        def work():
            pass

        work.__name__ = name
        return work

    return make("ours"), make("theirs"), times


@pytest.mark.parametrize(
    ("theirs", "pairs"),
    [
        ([3, 3, 3, 3, 3, 3, 3], 3),  # clear after as few as there must be
        ([1, 3, 3, 3, 3, 3, 3], 7),  # one slow pair keeps the interval open
        ([3, 1, 3, 3, 3, 3, 3], 7),
        ([1, 1, 1, 1, 1, 1, 1], 7),  # a failure takes all rounds
    ],
)
def test_compare_stops_early_only_above_its_limit(monkeypatch, theirs, pairs):
    *works, left = scripted(monkeypatch, [1] * 7, theirs)
    ratio = timing.compare(*works, rounds=7, limit=2)
    assert len(list(left["ours"])) == 7 - pairs
    full = timing.Ratio.of(np.array([(t, 1) for t in theirs]))
    assert (ratio.high > 2) == (full.high > 2), "the same decision as after all rounds"


def test_rate_leaves_the_first_call_out(monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_S", 0.1)
    pauses = iter([0.3])
    assert timing.rate(lambda: time.sleep(next(pauses, 0.01)), 10) > 10 / 0.05


def test_the_description_of_the_machine_names_hardware_and_versions():
    found = timing.describe_machine()
    assert found["cores"] >= 1
    assert found["memory_gb"] >= 1
    assert found["tensorflow"].startswith("2.")
