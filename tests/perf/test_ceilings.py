import pytest

from dftk.perf import ceilings, timing


def test_ceilings_are_above_what_they_hold(dataset, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_S", 0.05)
    found = ceilings.measure(dataset.train[:4], (64, 64, 3), 64)
    assert found["raw read"] > found["decode_jpeg"] > 100
    assert found["memory copy"] == pytest.approx(4 * found["memory copy of floats"])
    assert found["raw read of pixels"] < found["raw read"], "pixels are more than their JPEG"
