"""Each gate fails for what it guards against: that slowdown is injected, and the gate is tried."""

import dataclasses
import math
import time

import gates
import numpy as np
import pytest
import tensorflow as tf
import workloads
from material import SIZE, counted_decodes
from rig import STEPS

from dftk.images import reading
from dftk.inference import stream
from dftk.input import batches, decoding, residency, stores
from dftk.models.augmentation import transforms
from dftk.perf import timing
from dftk.training.step import loop
from dftk.utils import limits

pytest_plugins = ["shared_fixtures"]

ROUNDS = 2  # a slowdown that is injected is large


@pytest.mark.long
def test_parallelism_of_one(dataset, monkeypatch):
    """Decoding waits and does not compute, so that other processes cannot hide what is lost."""

    def wait(_):
        time.sleep(0.002)
        return np.zeros((SIZE, SIZE, 3), np.uint8)

    def decode(contents):
        image = tf.numpy_function(wait, [contents], tf.uint8)
        return tf.ensure_shape(image, (SIZE, SIZE, 3))

    monkeypatch.setattr(workloads, "READINGS", 2)
    monkeypatch.setattr(decoding, "decode_image", decode)
    stream, _ = workloads.cold_stream(dataset.train)
    alone = workloads.decoding_alone(dataset.train, workloads.READINGS, parallel=2)
    monkeypatch.setattr(limits, "cores", lambda: 2)
    gates.COLD_STREAM.check(timing.compare(stream, alone, rounds=ROUNDS))
    monkeypatch.setattr(limits, "cores", lambda: 1)
    with pytest.raises(AssertionError, match="the cold stream adds to decoding"):
        gates.COLD_STREAM.check(timing.compare(stream, alone, rounds=ROUNDS))


def test_no_prefetch(monkeypatch):
    plain_map = tf.data.Dataset.map
    monkeypatch.setattr(tf.data.Dataset, "prefetch", lambda dataset, _: dataset)
    # A parallel map works ahead as well.
    monkeypatch.setattr(tf.data.Dataset, "map", lambda dataset, work, **_: plain_map(dataset, work))
    with pytest.raises(AssertionError, match="input is made while the step waits"):
        gates.OVERLAP.check(timing.compare(*workloads.waiting(), rounds=ROUNDS))


def test_batches_of_float32(opened):
    examples = opened("ram")

    def floats(rows):
        return tf.cast(examples.fetch(rows), tf.float32)

    batcher = batches.Batcher(floats, examples.labels, max_parallel=2)
    batch = next(iter(batcher(np.arange(32), batch_size=32, shuffle=(42, 0))))
    with pytest.raises(AssertionError, match="the device is sent images as float32"):
        gates.batches_are_uint8(batch)
    with pytest.raises(AssertionError, match="bytes an image, at most"):
        gates.bytes_to_the_device(batch, "ram", math.prod(examples.shape))


def test_pixels_sent_to_a_device_that_has_them(opened):
    examples = opened("device")
    batch = next(iter(examples.batches(np.arange(32), batch_size=32, images=True)))
    with pytest.raises(AssertionError, match="bytes an image, at most 56"):
        gates.bytes_to_the_device(batch, "device", math.prod(examples.shape))


@pytest.mark.parametrize(("kind", "caught"), [("ram", False), ("none", True)])
def test_a_decode_in_every_epoch(dataset, kind, caught):
    shards = residency.limit_examples(dataset.train, 40)
    with counted_decodes() as decodes:
        examples = residency.open_examples(shards, kind, size=64)
        for epoch in range(2):
            workloads.consume(examples.batches(np.arange(40), batch_size=8, shuffle=(42, epoch)))
    if caught:
        with pytest.raises(AssertionError, match="80 decodes of 40 JPEGs"):
            gates.each_jpeg_is_decoded_once(len(decodes), 40)
    else:
        gates.each_jpeg_is_decoded_once(len(decodes), 40)


def test_a_decode_in_every_epoch_is_slow(dataset, notebook_epoch, monkeypatch):
    monkeypatch.setattr(stores, "MemoryStore", stores.RecordStore)
    monkeypatch.setattr(workloads, "COPIES", 1)
    monkeypatch.setattr(limits, "cores", lambda: 2)  # no faster where there are many
    examples = residency.open_examples(dataset.train, "ram", size=224)
    ratio = timing.compare(workloads.epoch(examples), notebook_epoch, rounds=ROUNDS)
    with pytest.raises(AssertionError, match="epochs from ram are slow"):
        gates.notebook_epoch("ram").check(ratio)
    with pytest.raises(AssertionError, match="a gather takes far more than a copy"):
        gates.MEMORY.check(timing.compare(*workloads.memory(examples), rounds=ROUNDS))


def test_an_augmentation_that_is_not_compiled(opened, monkeypatch):
    images = tf.cast(opened("ram").fetch(np.arange(workloads.BATCH_SIZE)), tf.float32) / 255.0
    randoms = np.random.default_rng(0).random(
        (workloads.BATCH_SIZE, transforms.NUM_RANDOMS), np.float32
    )
    plain = tf.function(transforms.flip_and_jitter.python_function)
    monkeypatch.setattr(transforms, "flip_and_jitter", plain)
    ratio = timing.compare(*workloads.augmentation(images, tf.constant(randoms)), rounds=ROUNDS)
    with pytest.raises(AssertionError, match="the fused augmentation is slow"):
        gates.AUGMENTATION.check(ratio)


def test_a_retrace(rig, opened):
    train_loop = loop.TrainLoop(
        rig.detector, rig.devices, rig.config, False, loop.BatchImages(rig.devices, opened("ram"))
    )
    rig.run(train_loop, rig.batches("frozen", "ram"), 1)
    rig.run(train_loop, rig.batches("frozen", "ram"), 2)
    gates.each_phase_is_traced_once({"frozen": train_loop.traces})
    # A number of Python's is part of the trace, a tensor is not.
    iterator = loop.distribute(rig.devices, rig.batches("frozen", "ram"))
    train_loop.run(iterator, 1, tf.zeros([4]))
    with pytest.raises(AssertionError, match=r"traces by phase: \{'frozen': 2\}"):
        gates.each_phase_is_traced_once({"frozen": train_loop.traces})


def test_input_that_a_step_waits_for(rig, monkeypatch):
    real, synthetic = rig.real_and_synthetic("frozen", "ram")
    real()  # traces
    step_s = timing.seconds(real) / STEPS["frozen"]
    make_batches = rig.batches

    def slow_batches(phase, kind):
        def wait(weight):
            with tf.control_dependencies([tf.py_function(lambda: time.sleep(3 * step_s), [], [])]):
                return tf.identity(weight)

        return make_batches(phase, kind).map(
            lambda batch: {**batch, "example_weight": wait(batch["example_weight"])}
        )

    monkeypatch.setattr(rig, "batches", slow_batches)
    with pytest.raises(AssertionError, match="the step waits for its input"):
        gates.REAL_INPUT.check(timing.compare(real, synthetic, rounds=ROUNDS))


@pytest.mark.parametrize(
    "gate",
    [
        gates.COLD_STREAM,
        gates.FIRST_LOAD,
        gates.MEMORY,
        gates.AUGMENTATION,
        gates.AUGMENTATION_IN_STEP,
        gates.STOCK_BUILDER,
        gates.PLAIN_COPY,
        *map(gates.notebook_epoch, gates.NOTEBOOK),
    ],
    ids=lambda gate: gate.hint.partition(";")[0],
)
def test_each_gate_has_a_limit_that_can_be_missed(gate):
    slow = timing.Ratio(0.01, 0.005, 0.02, 1.0, 0.01)
    with pytest.raises(AssertionError, match="all of it below") as failure:
        gate.check(slow)
    assert gate.hint in str(failure.value)
    gate.check(dataclasses.replace(slow, high=100.0))  # an interval that reaches the limit passes


def test_files_decoded_one_by_one(predictable, monkeypatch):
    """Decoding waits, and no file is begun ahead."""
    ensemble, files = predictable
    real = reading.decode

    def wait(file):
        time.sleep(0.02)
        return real(file)

    monkeypatch.setattr(reading, "decode", wait)
    works = workloads.predicting(ensemble, files[: 2 * stream.BATCH_SIZE])
    monkeypatch.setattr(
        stream.threads, "in_order", lambda function, items, *_: (function(item) for item in items)
    )
    with pytest.raises(AssertionError, match="the forward pass waits for files"):
        gates.PREDICTION.check(timing.compare(*works, rounds=ROUNDS))
