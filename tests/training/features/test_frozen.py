"""Frozen features are what the live phase computes, are made once, and serve every fold and run."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from features_rig import Rig
from repository import ROOT

from dftk.models import dropout, registry
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.features import frozen
from dftk.training.resume.interruption import Interrupted
from dftk.training.resume.snapshot import VariableSnapshot
from dftk.training.step import loop
from dftk.utils.errors import UserError

MESSAGE = r"^--frozen_features=cached: cannot write \S+dftk_features.*give --frozen_features=live$"


@pytest.fixture
def rig(copy):
    return Rig(copy().train)


def test_a_batch_is_what_the_head_sees_of_the_images_and_their_mirror_images(rig):
    batch = next(iter(rig.features().batches(np.arange(60), batch_size=16, shuffle=(1, 2))))
    live = next(iter(rig.examples.batches(np.arange(60), batch_size=16, shuffle=(1, 2))))
    for name in ("index", "label", "augment_randoms", "example_weight"):
        np.testing.assert_array_equal(batch[name], live[name])
    unit = rig.detector.unit_image(live["image"])
    for view, images in enumerate((unit, unit[:, :, ::-1])):
        expected = rig.detector.features(images, training=False)
        np.testing.assert_allclose(batch["image"][:, view], expected, rtol=1e-3, atol=1e-5)


def test_training_on_them_is_training_on_images(rig):
    """The same order, flips and dropout; the weights differ by rounding alone."""
    ends = []
    from_images = (rig.context().images, rig.examples.batches)
    for images, batcher in [from_images, (None, rig.features().batches)]:
        train_loop = loop.TrainLoop(rig.detector, rig.devices, rig.config, False, images)
        before = VariableSnapshot(rig.detector.model.variables)
        train_loop.optimizer.learning_rate = 1e-3
        rig.detector.reset_dropout((5, 0, 0))
        iterator = loop.distribute(
            rig.devices, batcher(np.arange(60), batch_size=16, shuffle=(5, 0))
        )
        totals = train_loop.run(iterator, tf.constant(4), tf.zeros([4])).numpy()
        ends.append([totals[:3], *(v.numpy() for v in rig.detector.head.variables)])
        before.restore()
    for live, cached in zip(*ends, strict=True):
        np.testing.assert_allclose(live, cached, rtol=1e-2, atol=2e-3)


def test_the_second_run_computes_nothing(rig, capfd):
    first, calls = rig.features(), []
    again = rig.features(lambda: calls.append(1))
    assert not calls
    assert f"features: of 60 images, from {first.path}" in capfd.readouterr().err
    np.testing.assert_array_equal(
        first.features_of(np.arange(60)), again.features_of(np.arange(60))
    )
    assert first.path.parent.name == "dftk_features"


@pytest.mark.parametrize("change", [{"image_size": 48}, {"scaling": "unit"}, {"augment": False}])
def test_other_choices_have_other_features(rig, change):
    first = rig.features().path
    rig.config = rig.config.replaced(**change)
    assert rig.features().path != first


def test_models_that_differ_in_their_heads_share_features(rig):
    rig.config = rig.config.replaced(model="xception_multilevel", augment=False)
    multilevel = rig.features().path
    rig.config = rig.config.replaced(model="anomaly", head="pca", finetune_epochs=0)
    assert rig.features().path == multilevel
    rig.config = rig.config.replaced(model="xception")
    assert rig.features().path != multilevel


def test_other_weights_have_other_features(rig):
    first, kernel = rig.features().path, rig.detector.base.variables[0]
    kernel.assign_add(tf.fill(kernel.shape, 1e-6))
    assert rig.features().path != first


def test_the_state_of_stochastic_depth_is_no_weight():
    """It follows from the seed: every seed of EfficientNetV2B0 had features of its own."""
    config = resolve({"model": "efficientnetv2b0", "weights": "none", "image_size": 32})
    detector = registry.build(config, "float32", False)
    devices = devices_lib.choose(config)
    weights = [variable.path for variable in detector.base.weights]
    assert len(detector.base.variables) == len(weights) + len(dropout.random_layers(detector.base))
    folders = []
    for key in ((1, 0), (2, 0)):
        detector.reset_dropout(key)
        folders.append(frozen.folder(config, devices, detector, [], Path("features")))
    assert folders[0] == folders[1]


def test_without_such_states_folders_of_the_first_edition_keep_their_names(rig):
    base = rig.detector.base
    assert [v.path for v in base.weights] == [v.path for v in base.variables]


def test_other_images_have_other_features(rig):
    first = rig.features().path
    os.utime(rig.examples.shards[0].path)
    assert rig.features().path != first


def test_damage_is_said_and_they_are_made_again(rig, capfd):
    first = rig.features()
    expected = np.array(first.features_of(np.arange(60)))
    with (first.path / "features.f32").open("r+b") as file:
        file.seek(5000)
        file.write(b"\1\2\3")
    again = rig.features()
    assert "checksum 1 of 2 differs; written again" in capfd.readouterr().err
    np.testing.assert_allclose(again.features_of(np.arange(60)), expected, rtol=1e-5, atol=1e-6)


def test_memory_is_a_batch_not_the_whole(copy):
    rig = Rig(copy().train, images=400)
    forward = rig.context().forward
    next(forward.feature_batches(rig.examples, np.arange(400), 16, flipped=True))  # traces
    tracemalloc.start()
    try:
        size = (rig.features().path / "features.f32").stat().st_size
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < size / 3, f"{peak:,} of {size:,} bytes"
    finally:
        tracemalloc.stop()


def test_a_full_disk_is_named(rig):
    """Written, not mapped: there a full disk kills the process."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(UserError, match=MESSAGE):
            rig.features()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


class After:
    """Raises in place of so many calls and all that follow; counts them."""

    def __init__(self, calls, error):
        self.left, self.error, self.calls = calls, error, 0

    def __call__(self):
        if self.calls == self.left:
            raise self.error
        self.calls += 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted("", signal.SIGTERM)])
def test_stopped_half_way_it_goes_on_from_there(rig, error, capfd):
    expected = rig.features()
    whole = np.array(expected.features_of(np.arange(60)))
    shutil.rmtree(expected.path)
    with pytest.raises(type(error)) as stopped:
        rig.features(After(2, error))
    if isinstance(error, Interrupted):
        assert str(stopped.value) == (
            "features: stopped by a signal after 60 of 120 images; the same command goes on from "
            "there"
        )
    assert not expected.path.exists(), "half of it is not taken for whole"
    rest = After(99, None)
    again = rig.features(rest)
    assert rest.calls == 2, "four batches of 15, two of them again"
    assert "features: going on after 60 of 120 images" in capfd.readouterr().err
    np.testing.assert_array_equal(again.features_of(np.arange(60)), whole)
    assert [path for path in rig.folder().iterdir() if path.is_dir()] == [again.path]


def test_begun_with_other_batches_it_is_made_from_the_start(rig):
    with pytest.raises(KeyboardInterrupt):
        rig.features(After(2, KeyboardInterrupt()))
    rig.config = rig.config.replaced(batch_size=30)
    rest = After(99, None)
    rig.features(rest)
    assert rest.calls == 2


def test_kill_9_leaves_what_is_gone_on_with(rig):
    whole = rig.features()
    expected = np.array(whole.features_of(np.arange(60)))
    shutil.rmtree(whole.path)
    shard = Path(rig.examples.shards[0].path)
    command = [sys.executable, "-c", KILLED, str(shard.parent)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT / "tests" / "support"
    )
    assert process.stdout.readline() == "stopped\n"
    process.kill()
    process.wait()
    rest = After(99, None)
    found = rig.features(rest)
    assert rest.calls == 2
    np.testing.assert_array_equal(found.features_of(np.arange(60)), expected)


KILLED = """
import sys, time
from dftk.utils import cpu
cpu.prepare()
from dftk.datasets import catalog
from dftk.input.resumable_file import ResumableFile
from features_rig import Rig
calls = 0
def check_stop():
    global calls
    calls += 1
    if calls == 3:
        print("stopped", flush=True)
        time.sleep(600)
ResumableFile.interval = 0
Rig(catalog.open_dataset(sys.argv[1], None, 5).train).features(check_stop)
"""


def test_a_folder_that_cannot_be_written_is_named(rig):
    rig.folder().write_text("in the way")
    with pytest.raises(UserError, match=MESSAGE):
        rig.features()
