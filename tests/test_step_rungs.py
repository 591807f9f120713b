import pytest
from conftest import quick_config

from dftk.perf import meter
from dftk.perf.input_rungs import InputRungs
from dftk.perf.step_rungs import StepRungs
from dftk.training import devices


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ram", "device"])
def test_a_step_costs_more_than_its_batch(data_dir, dataset, monkeypatch, kind):
    monkeypatch.setattr(meter, "BUDGET_S", 0.05)
    config = quick_config(data_dir)
    source = InputRungs(config, dataset.train, kind, 1)
    steps = StepRungs(config, devices.choose(config), source, "frozen")
    step_s, real_s, wait = steps.train()
    assert steps.transfer() > 1 / real_s
    assert steps.augment() > 1 / step_s
    assert 0 <= wait < 0.5
    assert real_s == pytest.approx(step_s, rel=1.0)
