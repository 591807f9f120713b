"""The training step on real input against the same step on one batch repeated."""

import numpy as np
import pytest
import tensorflow as tf
from material import build_dataset, compare, draw_tree

from dftk.config import resolve
from dftk.data import catalog, pipeline, residency
from dftk.models import registry
from dftk.training import devices as devices_lib
from dftk.training import loop

STEPS, BATCH = 6, 16


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    draw_tree(tree)
    directory = build_dataset(tree, tmp_path_factory.mktemp("data"))
    examples = residency.load(catalog.open_dataset(directory, None, 5).train)
    config = resolve(
        {"weights": "none", "image_size": 96, "batch_size": BATCH, "mixed_precision": True}
    )
    devices = devices_lib.choose(config)
    with devices.strategy.scope():
        detector = registry.build(config, devices.policy, devices.replicas > 1)
    return examples, config, devices, detector


@pytest.mark.parametrize("phase", ["frozen", "finetune"])
def test_step_on_real_input_against_synthetic(benchmark, rig, phase):
    examples, config, devices, detector = rig
    trainable = loop.Trainable(detector, devices, config, train_base=phase == "finetune")
    rows = np.arange(STEPS * BATCH)
    dataset = pipeline.batches(
        examples.images,
        examples.labels,
        rows,
        batch_size=BATCH,
        parts=devices.replicas,
        shuffle=(42, 0),
    )
    part = next(iter(dataset))
    synthetic = tf.data.Dataset.from_tensors(part).repeat(STEPS * devices.replicas)

    def steps(source):
        iterator = loop.distribute(devices, source)
        return trainable.run(iterator, tf.constant(STEPS), tf.zeros([4])).numpy()

    ratio = compare(benchmark, lambda: steps(dataset), lambda: steps(synthetic), STEPS * BATCH)
    waited = steps(dataset)[3] / benchmark.stats.stats.median
    benchmark.extra_info["input_wait"] = float(waited)
    assert trainable.traces == 1
    assert ratio.high > 0.9, "real input slows the step down"
