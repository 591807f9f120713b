import numpy as np
import pytest
import tensorflow as tf
from training_rig import SMALL, Rig

from dftk.training.step.forward_pass import ForwardPass


@pytest.fixture(scope="module")
def rig(examples):
    return Rig(examples, **SMALL)


def test_scores_are_placed_by_index(rig, examples):
    forward = ForwardPass(rig.detector, rig.devices, rig.images)
    rows = np.random.default_rng(0).permutation(400)[:37]
    shuffled = forward.logits(forward.features(examples, rows, batch_size=16))
    ordered = forward.logits(forward.features(examples, np.sort(rows), batch_size=8))
    np.testing.assert_allclose(shuffled[np.argsort(rows)], ordered, atol=1e-5)
    probability = rig.detector.model(examples.fetch(tf.constant(rows[:5])))[:, 0]
    np.testing.assert_allclose(probability, tf.sigmoid(shuffled[:5]), atol=1e-6)


def test_flipped_features_are_those_of_the_flipped_image(rig, examples):
    forward = ForwardPass(rig.detector, rig.devices, rig.images)
    rows = np.array([4, 0, 2, 1, 3])
    plain, found = np.concatenate(
        list(forward.feature_batches(examples, rows, 2, flipped=True))
    ).swapaxes(0, 1)
    images = examples.fetch(tf.constant(rows))[:, :, ::-1]
    expected = rig.detector.features(rig.detector.unit_image(images), training=False)
    size = np.abs(expected).max()  # random weights: activations all but vanish with depth
    np.testing.assert_allclose(found / size, expected / size, atol=1e-3)
    alone = forward.features(examples, rows, 2)
    np.testing.assert_allclose(plain / size, alone / size, atol=1e-3)
    assert np.abs(found - plain).max() > 0.1 * size
