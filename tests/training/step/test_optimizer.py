import keras
import numpy as np
import pytest
import tensorflow as tf
from child_code import run_on_two_devices

from dftk.training.step import optimizer


def test_fused_adam_is_kerass_adam():
    """Twenty steps, gradients of many sizes, a learning rate that changes."""
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (7,), ()]
    start = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    ours, theirs = ([keras.Variable(value) for value in start] for _ in range(2))
    fused, plain = optimizer.build(ours, "float32"), keras.optimizers.Adam(0.0)
    plain.build(theirs)

    @tf.function
    def step(gradients):
        fused.apply(gradients, ours)
        plain.apply(gradients, theirs)

    for index in range(20):
        fused.learning_rate = plain.learning_rate = 1e-2 / (1 + index)
        size = 10.0 ** (index % 5 - 3)
        step([tf.constant((size * rng.normal(size=s)).astype(np.float32)) for s in shapes])
    for mine, other in zip(fused.variables, plain.variables, strict=True):
        np.testing.assert_allclose(mine, other, rtol=3e-5)  # 1 - 0.999 in float32
    for mine, other, first in zip(ours, theirs, start):
        np.testing.assert_allclose(mine, other, rtol=1e-5)
        assert (np.asarray(mine) != first).all()


def test_float16_gradients_are_scaled_and_an_overflow_skips_the_step():
    weights = [keras.Variable(np.ones(3, np.float32))]
    scaled = optimizer.build(weights, "mixed_float16")
    scaled.learning_rate = 0.1
    assert float(scaled.scale_loss(1.0)) == 2.0**15
    step = tf.function(lambda gradient: scaled.apply([gradient], weights))
    step(tf.constant([np.inf, 1.0, 1.0]))
    np.testing.assert_array_equal(weights[0], np.ones(3))
    assert float(scaled.scale_loss(1.0)) == 2.0**14
    step(tf.fill([3], 2.0**14))
    np.testing.assert_allclose(weights[0], 0.9, rtol=1e-5)
    assert type(optimizer.build(weights, "mixed_bfloat16")) is optimizer.FusedAdam


def test_an_overflow_on_any_replica_skips_the_step_on_all():
    """Keras asks the first replica alone: on the others it would make every weight NaN."""
    code = """
    from dftk.training.step import optimizer
    with strategy.scope():
        weights = [keras.Variable(np.ones(3, np.float32))]
        scaled = optimizer.build(weights, "mixed_float16")
    scaled.learning_rate = 0.1

    @tf.function
    def step(bad):
        def replica():
            mine = tf.distribute.get_replica_context().replica_id_in_sync_group
            scaled.apply([tf.where(tf.equal(mine, bad), np.inf, 2.0**13) * tf.ones(3)], weights)
        strategy.run(replica)

    for bad in (1, 0, 9):
        step(tf.constant(bad))
        print(weights[0].numpy().tolist(), float(scaled.scale_loss(1.0)))
    """
    skipped_1, skipped_0, done = run_on_two_devices(code).splitlines()
    assert skipped_1 == f"[1.0, 1.0, 1.0] {2.0**14}"
    assert skipped_0 == f"[1.0, 1.0, 1.0] {2.0**13}"
    assert [float(text) for text in done[1 : done.index("]")].split(",")] == pytest.approx(
        [0.9] * 3
    )


def test_each_variable_moves_by_its_factor_of_the_rate():
    weights = [keras.Variable(np.zeros(2, np.float32)) for _ in range(2)]
    adam = optimizer.build(weights, "float32", factors=[1.0, 0.25])
    adam.learning_rate = 0.1
    adam.apply([tf.fill([2], 3.0), tf.fill([2], -2.0)], weights)
    np.testing.assert_allclose(weights[0], -0.1, rtol=1e-4)
    np.testing.assert_allclose(weights[1], 0.025, rtol=1e-4)
