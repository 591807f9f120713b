import numpy as np
import pytest

from dftk.exports import comparison
from dftk.models import registry
from dftk.runs.saved_models import Ensemble
from dftk.training.config import resolve


def test_difference_counts_verdicts_and_is_never_lost_in_nan():
    gap = comparison.difference(np.array([0.2, 0.6, 0.5]), np.array([0.25, 0.6, 0.4]), 0.5)
    assert gap.largest == pytest.approx(0.1)
    assert gap.decisions == 1
    assert gap.within(0.11)
    assert not gap.within(0.09)
    broken = comparison.difference(np.array([0.2, np.nan]), np.array([0.2, 0.6]), 0.5)
    assert np.isnan(broken.largest)
    assert not broken.within(1.0), "a NaN is no agreement, whatever the tolerance"


def test_scores_keep_the_order_of_images_of_many_sizes():
    def run(images):
        assert len(images) <= comparison.BATCH
        return images[:, 0, 0, :1].astype(np.float32)

    images = [np.full((5 + i % 3, 4, 3), i, np.uint8) for i in range(60)]
    np.testing.assert_array_equal(comparison.score(run, images), np.arange(60))


def test_keras_models_run_as_the_mean_of_members():
    config = {"dataset": "sample", "model": "cnn", "image_size": 32}
    members = [
        registry.build(resolve({**config, "seed": seed}), "float32", False).model for seed in (1, 2)
    ]
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    answer = comparison.as_run(Ensemble(members))(images)
    assert answer.shape == (3, 1)
    mean = sum(member(images, training=False).numpy() for member in members) / 2
    np.testing.assert_allclose(answer, mean, atol=1e-6)


def test_speeds_are_taken_in_turn_on_one_batch():
    turns = []
    runs = {name: lambda images, name=name: turns.append((name, images.shape)) for name in "ab"}
    images = [np.zeros((8, 8, 3), np.uint8)] * 3 + [np.zeros((9, 8, 3), np.uint8)]
    speeds = comparison.speeds(runs, images)
    assert set(speeds) == {"a", "b"}
    assert min(speeds.values()) > 0
    assert [name for name, _ in turns] == ["a", "b"] * (len(turns) // 2)
    assert {shape for _, shape in turns} == {(3, 8, 8, 3)}
