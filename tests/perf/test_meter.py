import time

import pytest

from dftk.perf import meter


def test_compare_times_in_turn_and_tells_how_many_times_faster():
    calls = []

    def work(name, pause):
        def run():
            calls.append(name)
            time.sleep(pause)

        return run

    ratio = meter.compare(work("ours", 0.005), work("theirs", 0.02), rounds=5)
    assert calls == ["ours", "theirs"] + ["theirs", "ours"] * 5
    assert ratio.low <= ratio.median <= ratio.high
    assert 2 < ratio.median < 5
    assert ratio.theirs_s / ratio.ours_s == pytest.approx(ratio.median, rel=0.3)


def test_rate_leaves_the_first_call_out(monkeypatch):
    monkeypatch.setattr(meter, "BUDGET_S", 0.1)
    pauses = iter([0.3])
    assert meter.rate(lambda: time.sleep(next(pauses, 0.01)), 10) > 10 / 0.05


def test_machine_says_what_figures_belong_to():
    found = meter.machine()
    assert found["cores"] >= 1
    assert found["memory_gb"] >= 1
    assert found["tensorflow"].startswith("2.")
