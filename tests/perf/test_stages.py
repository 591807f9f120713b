"""A delay is injected into each stage, and the doctor names that stage."""

import dataclasses
import time

import pytest
import tensorflow as tf

from dftk.input import batches, pipeline, residency, stores
from dftk.models.augmentation import transforms
from dftk.perf import diagnosis, stages, timing
from dftk.perf.input_stages import InputStages
from dftk.perf.measurements import FIRST_PASS, STAGES
from dftk.perf.step_stages import StepStages
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.step import loop

IMAGES = 40
DELAY = 0.03  # seconds per image; no stage takes a third of it, even beside other work


@pytest.mark.slow
def test_without_a_delay_the_bottleneck_is_the_step(dataset, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_S", 0.05)
    config = resolve({"dataset": "sample", "model": "cnn", "image_size": 64})
    shards = residency.limit_examples(dataset.train, 100)
    found = stages.measure(config, shards, devices_lib.choose(config), "ram", "finetune")
    rates = {stage.stage: round(stage.img_per_s) for stage in found.stages}
    assert diagnosis.bottleneck(found).stage == "step", rates
    assert list(rates) == list(STAGES)
    assert all(stage.img_per_s > 0 and stage.ceiling_img_per_s > 0 for stage in found.stages)


class InjectedDelays:
    """A wait inside every stage; its length can be changed after tracing."""

    def __init__(self, patch):
        self.seconds = dict.fromkeys(STAGES, 0.0)  # per image
        for owner, name, stage in (
            (stores.RecordStore, "fetch", "read"),
            (pipeline, "parse", "parse"),
            (pipeline, "decode_batch", "decode"),
            (stores.MemoryStore, "fetch", "cache"),
            (transforms, "flip_and_jitter", "augment"),
            (loop, "l2_penalty", "step"),
        ):
            patch.setattr(owner, name, self.delayed(getattr(owner, name), stage))
        chunks, distribute, make_batches = (
            pipeline.chunks, loop.distribute, batches.Batcher.__call__
        )  # fmt: skip

        def slow_chunks(*arguments):
            return self.delayed_dataset(chunks(*arguments), "read", lambda _, records: records)

        def slow_distribute(devices, dataset):
            slow = self.delayed_dataset(dataset, "transfer", lambda batch: batch["index"])
            return distribute(devices, slow)

        def slow_batches(batcher, rows, **options):
            dataset = make_batches(batcher, rows, **options)
            if "image" not in dataset.element_spec:
                return dataset
            return self.delayed_dataset(dataset, "batch", lambda batch: batch["index"])

        patch.setattr(pipeline, "chunks", slow_chunks)
        patch.setattr(loop, "distribute", slow_distribute)
        patch.setattr(batches.Batcher, "__call__", slow_batches)

    def wait(self, stage, images):
        def sleep(count):
            time.sleep(self.seconds[stage] * int(count))
            return count

        return tf.py_function(sleep, [images], tf.int32)

    def delayed(self, real, stage):
        """The function, which then waits for as many images as its first tensor has."""

        def slow(*arguments):
            first = [a for a in arguments if tf.is_tensor(a)][:1]
            count = tf.shape(first[0])[0] if first else tf.constant(16)
            with tf.control_dependencies([self.wait(stage, count)]):
                return tf.nest.map_structure(tf.identity, real(*arguments))

        return slow

    def delayed_dataset(self, dataset, stage, rows_of):
        """The dataset, which then waits for as many images as `rows_of` finds in an element."""

        def wait(*element):
            value = element[0] if len(element) == 1 else element
            with tf.control_dependencies([self.wait(stage, tf.shape(rows_of(*element))[0])]):
                return tf.nest.map_structure(tf.identity, value)

        return dataset.map(wait)


@pytest.fixture(scope="module")
def delays():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "BUDGET_S", 0.05)
        yield InjectedDelays(patch)


@pytest.fixture(scope="module")
def measure(delays, dataset, tmp_path_factory):
    """Measures with a delay in one stage; what is compiled is shared by a residency's tests."""
    # Two folds, one epoch: every image is decoded once and trained on once.
    config = resolve({"dataset": "sample", "model": "cnn", "image_size": 64, "augment": True,
                      "frozen_epochs": 0, "finetune_epochs": 1, "folds": 2})  # fmt: skip
    devices = devices_lib.choose(config)
    shards = residency.limit_examples(dataset.train, IMAGES)
    compiled = {}

    def measure(kind, stage):
        if kind not in compiled:
            source = InputStages(config, shards, kind, 1, tmp_path_factory.mktemp("raw"))
            compiled[kind] = source, StepStages(config, devices, source, "finetune")
        delays.seconds.update(dict.fromkeys(STAGES, 0.0))
        if stage:
            delays.seconds[stage] = DELAY
        source, steps = compiled[kind]
        return stages.measure_stages(config, shards, devices, kind, source, steps)

    return measure


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        *(("none", stage) for stage in ("read", "parse", "decode", "batch", "transfer")),
        *(("ram", stage) for stage in ("decode", "cache", "transfer", "augment", "step")),
    ],
)
def test_the_delayed_stage_is_the_bottleneck(measure, kind, stage):
    # The first pass counts once in a run, an epoch's stages once in each of its visits.
    visits = 1 if stage in FIRST_PASS else 4
    found = dataclasses.replace(measure(kind, stage), visits=visits)
    rates = {stage.stage: round(stage.img_per_s) for stage in found.stages}
    assert diagnosis.bottleneck(found).stage == stage, rates
