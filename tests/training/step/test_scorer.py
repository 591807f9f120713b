import numpy as np
import pytest
import tensorflow as tf
from training_rig import Rig

from dftk.training.step.scorer import Scorer


@pytest.fixture(scope="module")
def rig(examples):
    return Rig(examples)


def test_scores_are_placed_by_index(rig, examples):
    scorer = Scorer(rig.detector, rig.devices, rig.pixels)
    rows = np.random.default_rng(0).permutation(400)[:37]
    shuffled = scorer.logits(scorer.features(examples, rows, batch_size=16))
    ordered = scorer.logits(scorer.features(examples, np.sort(rows), batch_size=8))
    np.testing.assert_allclose(shuffled[np.argsort(rows)], ordered, atol=1e-5)
    probability = rig.detector.model(examples.fetch(tf.constant(rows[:5])))[:, 0]
    np.testing.assert_allclose(probability, tf.sigmoid(shuffled[:5]), atol=1e-6)


def test_mirrored_are_the_features_of_the_mirror_image(rig, examples):
    scorer = Scorer(rig.detector, rig.devices, rig.pixels)
    rows = np.array([4, 0, 2, 1, 3])
    plain, found = np.concatenate(list(scorer.views(examples, rows, 2, mirror=True))).swapaxes(0, 1)
    images = examples.fetch(tf.constant(rows))[:, :, ::-1]
    expected = rig.detector.features(rig.detector.unit_image(images), training=False)
    size = np.abs(expected).max()  # random weights: activations all but vanish with depth
    np.testing.assert_allclose(found / size, expected / size, atol=1e-3)
    alone = scorer.features(examples, rows, 2)
    np.testing.assert_allclose(plain / size, alone / size, atol=1e-3)
    assert np.abs(found - plain).max() > 0.1 * size
