"""The guards guard: each slowdown that one is meant to catch is planted, and it fails."""

import dataclasses
import math
import time

import guards
import numpy as np
import pytest
import sides
import tensorflow as tf
from material import SIZE, counted_decodes
from rig import STEPS

from dftk.images import reading
from dftk.inference import stream
from dftk.input import batches, decoding, residency, stores
from dftk.models.augmentation import transforms
from dftk.perf import timing
from dftk.training.step import loop
from dftk.utils import limits

pytest_plugins = ["drawn"]


@pytest.mark.long
def test_parallelism_of_one(dataset, monkeypatch):
    """With a decode that waits in place of computing: other processes cannot hide what is lost."""

    def wait(_):
        time.sleep(0.002)
        return np.zeros((SIZE, SIZE, 3), np.uint8)

    def decode(contents):
        image = tf.numpy_function(wait, [contents], tf.uint8)
        return tf.ensure_shape(image, (SIZE, SIZE, 3))

    monkeypatch.setattr(sides, "READINGS", 2)
    monkeypatch.setattr(decoding, "decode_image", decode)
    stream, _ = sides.cold_stream(dataset.train)
    alone = sides.decoding_alone(dataset.train, parallel=2)
    monkeypatch.setattr(limits, "cores", lambda: 2)
    guards.cold_keeps_up_with_decoding(timing.compare(stream, alone, rounds=2))
    monkeypatch.setattr(limits, "cores", lambda: 1)
    with pytest.raises(AssertionError, match="the cold stream adds to decoding"):
        guards.cold_keeps_up_with_decoding(timing.compare(stream, alone, rounds=2))


def test_no_prefetch(monkeypatch):
    guards.input_overlaps_with_the_step(timing.compare(*sides.waiting(), rounds=3))
    plain_map = tf.data.Dataset.map
    monkeypatch.setattr(tf.data.Dataset, "prefetch", lambda dataset, _: dataset)
    # A parallel map works ahead, too.
    monkeypatch.setattr(tf.data.Dataset, "map", lambda dataset, work, **_: plain_map(dataset, work))
    with pytest.raises(AssertionError, match="input is made while the step waits"):
        guards.input_overlaps_with_the_step(timing.compare(*sides.waiting(), rounds=3))


def test_a_float32_border(opened):
    examples = opened("ram")

    def floats(rows):
        return tf.cast(examples.fetch(rows), tf.float32)

    batcher = batches.Batcher(floats, examples.labels, max_parallel=2)
    batch = next(iter(batcher(np.arange(32), batch_size=32, shuffle=(42, 0))))
    with pytest.raises(AssertionError, match="images cross the border as float32"):
        guards.the_border_is_uint8(batch)
    with pytest.raises(AssertionError, match="bytes an image, at most"):
        guards.bytes_to_the_device(batch, "ram", math.prod(examples.shape))


def test_pixels_sent_to_a_device_that_has_them(opened):
    examples = opened("device")
    batch = next(iter(examples.batches(np.arange(32), batch_size=32, images=True)))
    with pytest.raises(AssertionError, match="bytes an image, at most 56"):
        guards.bytes_to_the_device(batch, "device", math.prod(examples.shape))


@pytest.mark.parametrize(("kind", "caught"), [("ram", False), ("none", True)])
def test_a_decode_in_every_epoch(dataset, kind, caught):
    shards = residency.limit_examples(dataset.train, 40)
    with counted_decodes() as decodes:
        examples = residency.open_examples(shards, kind, size=64)
        for epoch in range(2):
            sides.consume(examples.batches(np.arange(40), batch_size=8, shuffle=(42, epoch)))
    if caught:
        with pytest.raises(AssertionError, match="80 decodes of 40 JPEGs"):
            guards.each_jpeg_is_decoded_once(len(decodes), 40)
    else:
        guards.each_jpeg_is_decoded_once(len(decodes), 40)


def test_a_decode_in_every_epoch_is_slow(dataset, notebook_epoch, monkeypatch):
    monkeypatch.setattr(stores, "MemoryStore", stores.RecordStore)
    monkeypatch.setattr(sides, "COPIES", 1)
    monkeypatch.setattr(limits, "cores", lambda: 2)  # no faster where there are many
    examples = residency.open_examples(dataset.train, "ram", size=224)
    ratio = timing.compare(sides.epoch(examples), notebook_epoch, rounds=3)
    with pytest.raises(AssertionError, match="epochs from ram are slow"):
        guards.epochs_beat_the_notebook(ratio, "ram")
    with pytest.raises(AssertionError, match="a gather takes far more than a copy"):
        guards.memory_nears_a_plain_copy(timing.compare(*sides.memory(examples), rounds=3))


def test_an_augmentation_that_is_not_compiled(opened, monkeypatch):
    images = tf.cast(opened("ram").fetch(np.arange(sides.BATCH_SIZE)), tf.float32) / 255.0
    draws = np.random.default_rng(0).random((sides.BATCH_SIZE, transforms.NUM_RANDOMS), np.float32)
    plain = tf.function(transforms.flip_and_jitter.python_function)
    monkeypatch.setattr(transforms, "flip_and_jitter", plain)
    ratio = timing.compare(*sides.augmentation(images, tf.constant(draws)), rounds=3)
    with pytest.raises(AssertionError, match="the fused augmentation is slow"):
        guards.augmentation_beats_per_image_ops(ratio)


def test_a_retrace(rig, opened):
    train_loop = loop.TrainLoop(
        rig.detector, rig.devices, rig.config, False, loop.Pixels(rig.devices, opened("ram"))
    )
    rig.run(train_loop, rig.batches("frozen", "ram"), 1)
    rig.run(train_loop, rig.batches("frozen", "ram"), 2)
    guards.each_phase_is_traced_once({"frozen": train_loop.traces})
    # A number of Python's is part of the trace, a tensor is not.
    iterator = loop.distribute(rig.devices, rig.batches("frozen", "ram"))
    train_loop.run(iterator, 1, tf.zeros([4]))
    with pytest.raises(AssertionError, match=r"traces by phase: \{'frozen': 2\}"):
        guards.each_phase_is_traced_once({"frozen": train_loop.traces})


def test_input_that_a_step_waits_for(rig, monkeypatch):
    real, synthetic = rig.real_and_synthetic("frozen", "ram")
    step_s = min(timing.seconds(real) for _ in range(2)) / STEPS["frozen"]
    honest = rig.batches

    def slow(phase, kind):
        def wait(share):
            with tf.control_dependencies([tf.py_function(lambda: time.sleep(4 * step_s), [], [])]):
                return tf.identity(share)

        return honest(phase, kind).map(
            lambda batch: {**batch, "example_weight": wait(batch["example_weight"])}
        )

    monkeypatch.setattr(rig, "batches", slow)
    with pytest.raises(AssertionError, match="the step waits for its input"):
        guards.real_input_costs_nothing(timing.compare(real, synthetic, rounds=3))


def test_each_ratio_has_a_limit_that_it_can_miss():
    slow = timing.Ratio(0.01, 0.005, 0.02, 1.0, 0.01)
    for guard in (
        guards.cold_keeps_up_with_decoding,
        guards.loading_keeps_up_with_decoding,
        guards.memory_nears_a_plain_copy,
        guards.augmentation_beats_per_image_ops,
        guards.augmenting_in_the_step_costs_no_more,
        guards.build_nears_a_plain_copy,
    ):
        with pytest.raises(AssertionError, match="all of it below"):
            guard(slow)
        guard(dataclasses.replace(slow, high=100.0))  # an interval that reaches the limit passes
    for kind in guards.NOTEBOOK:
        with pytest.raises(AssertionError, match=f"epochs from {kind} are slow"):
            guards.epochs_beat_the_notebook(slow, kind)


def test_files_decoded_one_by_one(predictable, monkeypatch):
    """With decoding that waits, and nothing begun ahead."""
    ensemble, files = predictable
    real = reading.decode

    def wait(file):
        time.sleep(0.02)
        return real(file)

    monkeypatch.setattr(reading, "decode", wait)
    sides_of_it = sides.predicting(ensemble, files[:96])
    monkeypatch.setattr(
        stream.threads, "in_order", lambda function, items, *_: (function(item) for item in items)
    )
    with pytest.raises(AssertionError, match="the forward pass waits for files"):
        guards.predicting_keeps_up_with_the_model(timing.compare(*sides_of_it, rounds=2))
