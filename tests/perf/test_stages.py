"""A delay is injected into each stage, and the doctor names that stage."""

import dataclasses
import time

import pytest
import tensorflow as tf

from dftk.input import batches, pipeline, residency, stores
from dftk.models import preprocess
from dftk.perf import diagnosis, stages, timing
from dftk.perf.input_stages import InputStages
from dftk.perf.measurements import STAGES
from dftk.perf.step_stages import StepStages
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.step import loop

IMAGES = 40
DELAY = 0.01  # seconds per image; a step of 32 pixels takes less than a third of it


class InjectedDelays:
    """A wait inside every stage; its length can be changed after tracing."""

    def __init__(self, patch):
        self.seconds = dict.fromkeys(STAGES, 0.0)  # per image
        for owner, name, stage in (
            (pipeline, "parse", "parse"),
            (pipeline, "decode_batch", "decode"),
            (stores.MemoryStore, "fetch", "cache"),
            (preprocess, "augment", "augment"),
            (loop, "l2_penalty", "step"),
        ):
            patch.setattr(owner, name, self.delay_call(getattr(owner, name), stage))
        self.delay_dataset(patch, pipeline, "chunks", "read", lambda _, records: records)
        self.delay_dataset(patch, loop, "distribute", "transfer", None)
        self.delay_dataset(patch, batches.Batcher, "_dataset", "batch", lambda b: b["index"])
        read = stores.Records._read

        def slow_read(store, rows):
            time.sleep(self.seconds["read"] * len(rows))
            return read(store, rows)

        patch.setattr(stores.RecordStore, "_read", slow_read)

    def wait(self, stage, images):
        def sleep(count):
            time.sleep(self.seconds[stage] * int(count))
            return count

        return tf.py_function(sleep, [images], tf.int32)

    def delay_call(self, real, stage):
        def slow(*arguments):
            first = [a for a in arguments if tf.is_tensor(a)][:1]
            count = tf.shape(first[0])[0] if first else tf.constant(16)
            with tf.control_dependencies([self.wait(stage, count)]):
                return tf.nest.map_structure(tf.identity, real(*arguments))

        return slow

    def delay_dataset(self, patch, owner, name, stage, counted):
        real = getattr(owner, name)

        def wait(*element):
            value = element[0] if len(element) == 1 else element
            rows = counted(*element) if counted else value["index"]
            with tf.control_dependencies([self.wait(stage, tf.shape(rows)[0])]):
                return tf.nest.map_structure(tf.identity, value)

        def slow(*arguments):
            if name == "distribute":
                devices, dataset = arguments
                return real(devices, dataset.map(wait))
            dataset = real(*arguments)
            has_images = "image" in str(dataset.element_spec)
            return dataset.map(wait) if name == "chunks" or has_images else dataset

        patch.setattr(owner, name, slow)


@pytest.fixture(scope="module")
def delays():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "BUDGET_S", 0.05)
        yield InjectedDelays(patch)


@pytest.fixture(scope="module")
def measure(delays, dataset, tmp_path_factory):
    """Measures with a delay in one stage; what is compiled is shared by a residency's tests."""
    # Two folds, one epoch: every image is decoded once and trained on once.
    config = resolve({"dataset": "sample", "model": "cnn", "image_size": 32, "augment": True,
                      "frozen_epochs": 1, "finetune_epochs": 0, "folds": 2})  # fmt: skip
    devices = devices_lib.choose(config)
    shards = residency.limit(dataset.train, IMAGES)
    compiled = {}

    def measure(kind, stage):
        if kind not in compiled:
            source = InputStages(config, shards, kind, 1, tmp_path_factory.mktemp("raw"))
            compiled[kind] = source, StepStages(config, devices, source, "frozen")
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
    found = measure(kind, stage)
    rates = {stage.stage: round(stage.img_per_s) for stage in found.stages}
    assert diagnosis.bottleneck(found).stage == stage, rates


@pytest.mark.slow
def test_without_a_delay_the_bottleneck_is_the_step(measure):
    # So few images end before their pipelines have started; as often visited as in a real run.
    found = dataclasses.replace(measure("ram", None), visits=200)
    assert diagnosis.bottleneck(found).stage == "step"
    assert [stage.stage for stage in found.stages] == list(STAGES)
    assert all(stage.img_per_s > 0 and stage.ceiling_img_per_s > 0 for stage in found.stages)
