"""The doctor on a run that caches its frozen features: making them, and training the head."""

from pathlib import Path

import pytest

from dftk.input import residency
from dftk.perf import examination, findings, frozen_stages, timing
from dftk.perf.frozen_stages import FrozenStages
from dftk.perf.input_stages import InputStages
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.features.frozen import FrozenFeatures


@pytest.fixture
def config(copy, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_S", 0.02)
    monkeypatch.setattr(frozen_stages, "_STEPS", 8)
    return resolve({"dataset": str(Path(copy().train[0].path).parent), "model": "cnn",
                    "image_size": 64, "frozen_epochs": 3, "finetune_epochs": 0, "cache": "ram",
                    "frozen_features": "cached", "max_examples": 100})  # fmt: skip


@pytest.mark.slow
def test_the_table_says_what_features_cost_and_how_fast_the_head_trains(config):
    found = examination.examine(config, None, None)
    assert (found["run"]["phase"], found["run"]["features"]) == ("frozen", "cached")
    *_, step, head = found["stages"]
    assert (step["stage"], head["stage"]) == ("step", "head")
    assert head["img_per_s"] > step["img_per_s"]
    assert found["features_s"] == pytest.approx(100 / step["img_per_s"], rel=0.01)
    assert found["visits_per_image"] == 3 * 4
    assert found["training_s"] == pytest.approx(12 * 100 / head["img_per_s"], rel=0.01)
    text = findings.text(found)
    assert "phase frozen, cached features, batch 32" in text
    assert "features of all in 0 s, once for all runs, then 12 visits" in text.replace("1 s", "0 s")
    left = [*Path(config.dataset).glob(".dftk_*"), *Path(config.dataset).glob("dftk_features")]
    assert left == [], "what was written to measure is deleted"


def test_making_features_and_the_head_on_them_are_measured(config, copy, tmp_path):
    shards = residency.limit_examples(copy().train, 100)
    devices = devices_lib.choose(config)
    source = InputStages(config, shards, "ram", 1, tmp_path)
    steps = FrozenStages(config, devices, source, tmp_path / "dftk_features")
    step = steps.train()
    assert step.input_wait == pytest.approx(max(0, 1 - step.synthetic_s / step.real_s))
    head = steps.train_head()
    assert max(head.synthetic_s, head.real_s) < step.real_s
    assert not steps.features_exist(shards), "the measurement's features lie elsewhere"
    FrozenFeatures(steps.context)
    assert steps.features_exist(shards)
    assert not steps.features_exist(residency.limit_examples(shards, 50))
