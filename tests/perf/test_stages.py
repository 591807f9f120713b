"""A slowdown is planted in each stage, and the doctor names it."""

import dataclasses
import time

import pytest
import tensorflow as tf

from dftk.input import batches, pipeline, residency, stores
from dftk.models import preprocess
from dftk.perf import diagnosis, meter
from dftk.perf import stages as ladder
from dftk.perf.input_stages import InputStages
from dftk.perf.step_stages import StepStages
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.step import loop

IMAGES = 40
DELAY = 0.01  # seconds per image; a step of 32 pixels takes a third of it


class Plants:
    """Waits inside every stage, of a length that can be changed after tracing."""

    def __init__(self, patch):
        self.delays = dict.fromkeys(ladder.STAGES, 0.0)
        for owner, name, stage in (
            (pipeline, "parse", "parse"),
            (pipeline, "decode_batch", "decode"),
            (stores.MemoryStore, "fetch", "cache"),
            (preprocess, "augment", "augment"),
            (loop, "l2_penalty", "step"),
        ):
            patch.setattr(owner, name, self.slowed(getattr(owner, name), stage))
        self.slow_dataset(patch, pipeline, "chunks", "read", lambda _, records: records)
        self.slow_dataset(patch, loop, "distribute", "transfer", None)
        self.slow_dataset(patch, batches.Batcher, "_dataset", "batch", lambda b: b["index"])
        read = stores.RecordStore._read

        def slow_read(store, rows):
            time.sleep(self.delays["read"] * len(rows))
            return read(store, rows)

        patch.setattr(stores.RecordStore, "_read", slow_read)

    def wait(self, stage, images):
        def sleep(count):
            time.sleep(self.delays[stage] * int(count))
            return count

        return tf.py_function(sleep, [images], tf.int32)

    def slowed(self, real, stage):
        def slow(*arguments):
            first = [a for a in arguments if tf.is_tensor(a)][:1]
            count = tf.shape(first[0])[0] if first else tf.constant(16)
            with tf.control_dependencies([self.wait(stage, count)]):
                return tf.nest.map_structure(tf.identity, real(*arguments))

        return slow

    def slow_dataset(self, patch, owner, name, stage, counted):
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
def plants():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "BUDGET_S", 0.05)
        yield Plants(patch)


@pytest.fixture(scope="module")
def climb(plants, dataset, tmp_path_factory):
    """Measures with a slowdown in one stage; rigs are built once for each residency."""
    # Two folds, one epoch: every image is decoded once and trained on once.
    config = resolve({"dataset": "sample", "image_size": 32, "augment": True,
                      "frozen_epochs": 1, "finetune_epochs": 0, "folds": 2})  # fmt: skip
    devices = devices_lib.choose(config)
    shards = residency.limit_examples(dataset.train, IMAGES)
    rigs = {}

    def measure(kind, stage):
        if kind not in rigs:
            source = InputStages(config, shards, kind, 1, tmp_path_factory.mktemp("raw"))
            rigs[kind] = source, StepStages(config, devices, source, "frozen")
        plants.delays.update(dict.fromkeys(ladder.STAGES, 0.0))
        if stage:
            plants.delays[stage] = DELAY
        return ladder._climb(config, shards, devices, kind, *rigs[kind])

    return measure


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        ("ram", "step"),
        *(
            pytest.param(kind, stage, marks=pytest.mark.long)
            for kind, stages in (
                ("none", ("read", "parse", "decode", "batch", "transfer")),
                ("ram", ("decode", "cache", "transfer", "augment")),
            )
            for stage in stages
        ),
    ],
)
def test_the_planted_bottleneck_is_named(climb, kind, stage):
    found = climb(kind, stage)
    rates = {stage.stage: round(stage.img_per_s) for stage in found.stages}
    assert diagnosis.bottleneck(found).stage == stage, rates


@pytest.mark.slow
def test_without_a_plant_it_is_the_step(climb):
    # So few images end before their pipelines have started; as often visited as in a real run.
    found = dataclasses.replace(climb("ram", None), visits=200)
    assert diagnosis.bottleneck(found).stage == "step"
    assert [stage.stage for stage in found.stages] == list(ladder.STAGES)
    assert all(stage.img_per_s > 0 and stage.ceiling_img_per_s > 0 for stage in found.stages)
