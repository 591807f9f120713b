import pytest
import tensorflow as tf
from perf_measurements import perf_config

from dftk.input import residency
from dftk.perf import timing
from dftk.perf.input_stages import InputStages
from dftk.perf.step_stages import StepStages
from dftk.training.devices import devices


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ram", "device"])
def test_a_step_costs_more_than_its_batch(data_dir, dataset, monkeypatch, kind, tmp_path):
    monkeypatch.setattr(timing, "BUDGET_S", 0.05)
    config = perf_config(data_dir)
    source = InputStages(config, dataset.train, kind, 1, tmp_path)
    steps = StepStages(config, devices.choose(config), source, "finetune")
    step = steps.train()
    assert steps.transfer() > 1 / step.real_s
    assert steps.augment() > 1 / step.synthetic_s
    assert 0 <= step.input_wait < 0.5
    assert step.real_s == pytest.approx(step.synthetic_s, rel=1.0)


@pytest.mark.long
def test_transfer_and_augment_look_at_the_pixels(data_dir, dataset, monkeypatch, tmp_path):
    """TensorFlow leaves out what nobody asks for: stateless work in the way must show."""
    monkeypatch.setattr(timing, "BUDGET_S", 0.05)
    config = perf_config(data_dir)
    source = InputStages(config, dataset.train, "device", 1, tmp_path)
    steps = StepStages(config, devices.choose(config), source, "finetune")
    before = steps.transfer(), steps.augment()
    real = residency.words_to_pixels

    def slow(words, shape):
        matrix = tf.cast(words[0, 0], tf.float32) * tf.ones([1500, 1500])
        heavy = tf.linalg.matmul(matrix, matrix)
        return real(words, shape) + tf.cast(heavy[0, 0] * 0.0, tf.uint8)

    monkeypatch.setattr(residency, "words_to_pixels", slow)
    assert steps.transfer() < before[0] / 3
    assert steps.augment() < before[1] / 3
