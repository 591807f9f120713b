from perf_measurements import perf_config

from dftk.perf import timing
from dftk.perf.input_stages import InputStages


def test_what_autotune_chose_is_read_from_its_model(data_dir, dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(timing, "BUDGET_S", 0.05)
    stages = InputStages(perf_config(data_dir), dataset.train, "ram", 1, tmp_path)
    found = stages.parallelism()
    assert any("ParallelMap" in name and value >= 1 for name, value in found["autotune"].items())
    first_pass = stages.first_pass()
    assert list(first_pass) == ["read", "parse", "decode", "batch"]
    assert first_pass["read"] > first_pass["decode"]
    assert stages.cache() > first_pass["decode"], "that is what a cache is for"
