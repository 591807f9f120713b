"""The compiled phases on a small network with BatchNorm and dropout, 32 pixels."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_rig import SMALL, Rig

from dftk.input import batches
from dftk.models.backbones.backbone import depths
from dftk.training.step import loop


@pytest.fixture(scope="module")
def rig(examples):
    return Rig(examples, **SMALL)


@pytest.fixture(autouse=True)
def from_the_start(request):
    if "rig" in request.fixturenames:
        request.getfixturevalue("rig").initial.restore()


def moved(before, after):
    return [bool((a != b).any()) for a, b in zip(before, after, strict=True)]


def test_frozen_phase_trains_the_head_only(rig):
    base, head = (
        rig.weights(rig.detector.base.variables),
        rig.weights(rig.detector.head.trainable_variables),
    )
    loss, right, count, waited = rig.train("frozen")
    assert count == 48
    assert 0 < loss / count < 3
    assert 0 <= right <= 48
    assert 0 <= waited < 60
    assert len(rig.phases["frozen"].variables) == 10
    assert all(moved(head, rig.weights(rig.detector.head.trainable_variables)))
    assert not any(moved(base, rig.weights(rig.detector.base.variables))), "weights and statistics"


def test_finetuning_moves_every_weight_of_the_base(rig):
    """The notebook's second phase moved 0 of 154: `trainable = True` never reached its base."""
    variables = rig.detector.base.trainable_variables
    before = rig.weights(variables)
    rig.train("finetune")
    assert len(rig.phases["finetune"].variables) == 10 + len(before)
    assert len(before) == 32
    assert all(moved(before, rig.weights(variables)))


@pytest.mark.slow
def test_finetuning_moves_all_154_weights_and_80_statistics_of_xception(examples):
    rig = Rig(examples, base_batchnorm="update")
    weights = rig.detector.base.trainable_variables
    statistics = [v for v in rig.detector.base.variables if "moving" in v.path]
    before = rig.weights(weights), rig.weights(statistics)
    assert (len(before[0]), len(before[1])) == (154, 80)
    assert len(rig.phases["finetune"].variables) == 164
    rig.train("finetune", rows=16, calls=(1,))
    assert all(moved(before[0], rig.weights(weights)))
    assert all(moved(before[1], rig.weights(statistics)))


def test_finetuning_updates_batchnorm_statistics_as_configured(rig, examples):
    def statistics_moved(rig):
        statistics = [v for v in rig.detector.base.variables if "moving" in v.path]
        before = rig.weights(statistics)
        assert len(before) == 20
        rig.train("finetune", rows=16, calls=(1,))
        return moved(before, rig.weights(statistics))

    assert rig.config.base_batchnorm == "update"
    assert all(statistics_moved(rig))
    assert not any(statistics_moved(Rig(examples, **SMALL, base_batchnorm="inference")))


def test_each_phase_is_traced_once_whatever_the_fold_epoch_or_batch(rig):
    for phase in ("frozen", "finetune"):
        for rows in (48, 47, 33, 80):
            rig.train(phase, rows=rows, epoch=rows, calls=(1,))
        rig.initial.restore()
        rig.train(phase)
        assert rig.phases[phase].traces == 1


def test_a_restored_start_is_bit_identical(rig):
    results = []
    for _ in range(2):
        rig.initial.restore()
        rig.train("frozen")
        rig.train("finetune")
        results.append(rig.weights(rig.detector.model.variables))
    assert not any(moved(*results))


def test_a_freshly_built_model_gives_the_same_bits_as_a_restored_one(rig, examples):
    rig.train("frozen")
    rig.initial.restore()
    rig.train("frozen")
    fresh = Rig(examples, **SMALL)
    fresh.train("frozen")
    assert not any(
        moved(
            rig.weights(rig.detector.model.variables), fresh.weights(fresh.detector.model.variables)
        )
    )


def test_the_frozen_step_is_kerass_own(rig, examples):
    """Loss and weights after two steps equal keras's train_on_batch on the same features."""
    plain = Rig(examples, **SMALL, dropout=0.0, augment=False)
    head = keras.models.clone_model(plain.detector.head)
    head.set_weights(plain.detector.head.get_weights())
    head.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    losses, penalty = [], sum(map(float, head.losses))  # in Keras's losses, not in ours
    for batch in examples.batches(np.arange(32), batch_size=16, shuffle=(5, 0)):
        unit = plain.detector.unit_image(batch["image"])
        features = plain.detector.features(unit, training=False)
        losses.append(head.train_on_batch(features, batch["label"][:, None]))
    total = plain.train("frozen", rows=32, calls=(2,))
    assert total[2] == 32
    assert total[0] / 32 + penalty == pytest.approx(np.mean(losses), rel=1e-3)
    # A bias before BatchNorm has no gradient but rounding, which Adam makes as large as any other.
    pairs = list(zip(plain.detector.head.get_weights(), head.get_weights(), strict=True))
    assert [pairs.pop(index)[0].shape for index in (7, 1)] == [(128,), (256,)]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=5e-6)
    assert any(moved(rig.detector.head.get_weights(), head.get_weights()))


def test_binary_cross_entropy_is_kerass_and_does_not_overflow():
    labels, logits = np.array([0, 1, 1, 0]), np.array([-3.0, 0.2, -900.0, 800.0], np.float32)
    reference = keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits)
    np.testing.assert_allclose(loop.binary_cross_entropy(labels, logits), reference, rtol=1e-6)


def test_waiting_for_input_is_measured(rig, monkeypatch):
    real = batches.Batcher.__call__

    def slow(*arguments, **options):
        def wait(batch):
            tf.py_function(lambda: time.sleep(0.5), [], [])
            return batch

        return real(*arguments, **options).map(wait)

    assert rig.train("frozen")[3] < 0.4
    monkeypatch.setattr(batches.Batcher, "__call__", slow)
    assert rig.train("frozen")[3] > 0.8, "three batches of half a second, steps of far less"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_has_the_gradients_of_float32(examples, policy):
    """Adam hides a wrong scale: its first moment after one step is a tenth of the gradient."""
    moments, losses = [], []
    for name in ("float32", policy):
        rig = Rig(examples, name, **SMALL, dropout=0.0)
        losses.append(rig.train("frozen", rows=16, calls=(1,))[0])
        optimizer = rig.phases["frozen"].optimizer
        adam = getattr(optimizer, "inner_optimizer", optimizer)
        first = [v for v in adam.variables if v.path.endswith("momentum")]
        assert len(first) == 10
        moments.append(np.concatenate([np.ravel(moment) for moment in first]))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert np.linalg.norm(moments[0]) > 1e-6
    # Random features are all but zero and round badly; a forgotten scale is off by thousands.
    difference = np.linalg.norm(moments[1] - moments[0]) / np.linalg.norm(moments[0])
    assert difference < 0.4


def test_frozen_blocks_stay_as_they_are_batchnorm_too(examples):
    rig = Rig(examples, **SMALL, augment=False, freeze_blocks=2)
    depth = depths(rig.detector.base)
    layers = [layer for layer in rig.detector.base.layers if layer.variables]
    before = [rig.weights(layer.variables) for layer in layers]
    rig.train("finetune", rows=16, calls=(1,), rate=1e-2)
    for layer, values in zip(layers, before, strict=True):
        changed = any(moved(values, rig.weights(layer.variables)))
        assert changed == (depth[layer.name] >= 2), layer.name


def test_rates_fall_from_block_to_block_towards_the_image(examples):
    rig = Rig(examples, **SMALL, augment=False, layer_decay=0.5)
    base = rig.detector.base
    factors = dict(
        zip((v.path for v in base.trainable_variables), loop.layer_rate_factors(base, 0.5))
    )
    assert len(factors) == len(base.trainable_variables)
    assert list(factors.values()) == sorted(factors.values())
    assert set(factors.values()) == {1, 0.5, 0.25, 0.125, 0.0625}
    first = base.trainable_variables[0]
    before = first.numpy()
    rig.train("finetune", rows=16, calls=(1,), rate=1e-2)  # Adam's first step is the rate
    np.testing.assert_allclose(np.abs(first.numpy() - before).max(), 1e-2 * 0.0625, rtol=1e-2)


def test_smoothed_labels_are_kerass(examples):
    given = {**SMALL, "head": "hidden", "augment": False, "dropout": 0.0}  # without BatchNorm
    rig = Rig(examples, **given, label_smoothing=0.2)
    batch = next(iter(examples.batches(np.arange(48), batch_size=16, shuffle=(5, 0))))
    unit = rig.detector.unit_image(batch["image"])
    logits = rig.detector.head(rig.detector.features(unit, training=False))
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    total = rig.train("frozen", calls=(1,))
    assert total[0] / 16 == pytest.approx(float(loss(batch["label"][:, None], logits)), rel=1e-4)
