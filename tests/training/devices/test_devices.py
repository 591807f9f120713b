import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from dftk.training.config import resolve
from dftk.training.devices import devices
from dftk.utils.errors import UsageError

STEPS = """
import sys
import keras
import numpy as np
import tensorflow as tf

count, phase, kind, rate, jit, data_dir, weights, out = sys.argv[1:]
cpu = tf.config.list_physical_devices("CPU")[0]
logical = [tf.config.LogicalDeviceConfiguration()] * int(count)
tf.config.set_logical_device_configuration(cpu, logical)
from dftk.training.config import resolve
from dftk.datasets import catalog
from dftk.input import residency
from dftk.models import registry
from dftk.training.devices import devices as devices_lib
from dftk.training.step import loop
from dftk.training.step import optimizer

if kind == "sgd":
    def build(variables, policy):
        sgd = keras.optimizers.SGD(0.0)
        sgd.build(variables)
        return sgd
    optimizer.build = build
config = resolve({"dataset": "sample", "image_size": 32, "batch_size": 16, "dropout": 0.0,
                  "base_batchnorm": "inference", "augment": True, "jit": jit, "weights": weights})
devices = devices_lib.choose(config)
assert devices.replicas == int(count)
shards = catalog.open_dataset("sample", data_dir, 5).train
examples = residency.open_examples(shards, "ram")
with devices.strategy.scope():
    detector = registry.build(config, devices.policy, devices.replicas > 1)
images = loop.BatchImages(devices, examples)
train_loop = loop.TrainLoop(detector, devices, config, phase == "finetune", images)
train_loop.optimizer.learning_rate = float(rate)
dataset = examples.batches(
    np.arange(320), batch_size=16, num_replicas=devices.replicas, shuffle=(0, 0)
)
iterator, losses, totals = loop.distribute(devices, dataset), [], tf.zeros([4])
for _ in range(20):
    after = train_loop.run(iterator, tf.constant(1), totals)
    losses.append(float(after[0] - totals[0]))
    totals = after
values = {str(i): v.numpy() for i, v in enumerate(detector.model.variables)}
np.savez(out, losses=losses, **values)
"""


def after_20_steps(count, phase, kind, rate, given, jit="off"):
    data_dir, weights, folder = given
    out = folder / f"{count}_{phase}_{kind}_{jit}.npz"
    values = (count, phase, kind, rate, jit, data_dir, weights, out)
    answer = subprocess.run(
        [sys.executable, "-c", STEPS, *map(str, values)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return dict(np.load(out))


@pytest.fixture
def given(data_dir, calibrated, tmp_path):
    return data_dir, calibrated, tmp_path


@pytest.mark.long
# Through the kinks of 36 layers of ReLU any other order of summing grows from step to step, on one
# device too: steps that train all of it are small here.
@pytest.mark.parametrize(
    ("phase", "rate", "counts"),
    [("frozen", 1e-2, (2, 4)), pytest.param("finetune", 1e-6, (2,), marks=pytest.mark.long)],
)
def test_several_devices_train_the_weights_of_one(given, phase, rate, counts):
    """20 steps of SGD on the same global batches, in float32."""
    one, *several = (after_20_steps(n, phase, "sgd", rate, given) for n in (1, *counts))
    for other in several:
        np.testing.assert_allclose(other.pop("losses"), one["losses"], rtol=1e-4)
        for name, weight in other.items():
            np.testing.assert_allclose(weight, one[name], rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_with_adam_the_losses_of_several_devices_are_those_of_one(given):
    one, two = (after_20_steps(n, "finetune", "adam", 1e-6, given)["losses"] for n in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert one[-1] != one[0]


@pytest.mark.long
def test_xla_trains_alike_on_one_device_and_on_two(given):
    """The all-reduce and the head's synchronised BatchNorm stay outside what is compiled."""
    plain = after_20_steps(1, "finetune", "sgd", 1e-6, given)["losses"]
    for count in (1, 2):
        compiled = after_20_steps(count, "finetune", "sgd", 1e-6, given, jit="on")["losses"]
        np.testing.assert_allclose(compiled, plain, rtol=1e-3)


SCRIPT = """
import json, sys
import numpy as np
import tensorflow as tf

count, rows, batch_size = map(int, sys.argv[1:4])
data_dir = sys.argv[4]
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
from dftk.utils.errors import UserError
from dftk.training.config import resolve
from dftk.datasets import catalog
from dftk.input import batches, pipeline, residency
from dftk.models import dropout, registry
from dftk.training.devices import devices as devices_lib
from dftk.training.step import loop
from dftk.training.step.forward_pass import ForwardPass

config = resolve({"dataset": "sample", "image_size": 32, "batch_size": batch_size,
                  "dropout": float(sys.argv[5]), "base_batchnorm": sys.argv[6], "augment": True})
try:
    devices = devices_lib.choose(config)
except UserError as error:
    print(error)
    sys.exit(error.exit_status)
examples = residency.open_examples(catalog.open_dataset("sample", data_dir, 5).train, sys.argv[7])
with devices.strategy.scope():
    detector = registry.build(config, devices.policy, devices.replicas > 1)
images = loop.BatchImages(devices, examples)
losses = []
for phase in ("frozen", "finetune"):
    train_loop = loop.TrainLoop(detector, devices, config, phase == "finetune", images)
    train_loop.optimizer.learning_rate = 1e-4
    for epoch in range(2):
        detector.reset_dropout([0, epoch])
        dataset = examples.batches(np.arange(rows), batch_size=batch_size,
                                   num_replicas=devices.replicas, shuffle=(0, epoch))
        iterator = loop.distribute(devices, dataset)
        steps = batches.steps_per_epoch(rows, batch_size, devices.replicas)
        totals = train_loop.run(iterator, tf.constant(steps), tf.zeros([4])).numpy()
        assert totals[2] == rows, totals
        losses.append(float(totals[0] / rows))
    assert train_loop.traces == 1
batchnorm = [v for v in detector.base.variables if "moving_mean" in v.path][:4]
per_replica = [[x.numpy().tolist() for x in devices.strategy.experimental_local_results(v.value)]
               for v in batchnorm]
def mask():
    layers = dropout.random_layers(detector.head)
    return [layer(tf.ones([1, 64]), training=True) for layer in layers]
masks = [devices.strategy.experimental_local_results(m) for m in devices.strategy.run(mask)]
masks = masks[0] if masks else ()
forward = ForwardPass(detector, devices, images)
scores = forward.logits(forward.features(examples, np.arange(3, 44), batch_size=16))
print(json.dumps({"replicas": devices.replicas, "losses": losses, "scores": scores.tolist(),
                  "per_replica": per_replica, "masks": [m.numpy().tolist() for m in masks],
                  "description": devices.description}))
"""


def run(count, rows, batch_size, data_dir, dropout=0.0, base_batchnorm="inference", cache="ram"):
    values = (count, rows, batch_size, data_dir, dropout, base_batchnorm, cache)
    arguments = [str(value) for value in values]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), *arguments], capture_output=True, text=True
    )


@pytest.mark.long
def test_two_replicas_train_and_score_as_one(data_dir):
    """An odd number of examples: uneven parts, exact weights, synchronised BatchNorm.

    One with the images in RAM, two with a copy on each device.
    """
    one, two = (run(n, 37, 10, data_dir, cache=c) for n, c in ((1, "ram"), (2, "device")))
    assert one.returncode == 0, one.stderr[-3000:]
    assert two.returncode == 0, two.stderr[-3000:]
    one, two = json.loads(one.stdout), json.loads(two.stdout)
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert two["description"].startswith("2 x CPU")
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-3)
    assert two["scores"] == pytest.approx(one["scores"], abs=2e-3)


@pytest.mark.long
def test_two_replicas_share_statistics_and_not_dropout_masks(data_dir):
    """Else the saved statistics are one replica's, and all replicas drop the same units."""
    answer = run(2, 9, 2, data_dir, dropout=0.3, base_batchnorm="update")
    assert answer.returncode == 0, answer.stderr[-3000:]
    result = json.loads(answer.stdout)
    for first, second in result["per_replica"]:
        assert first == second
        assert any(first), "statistics moved"
    first, second = result["masks"]
    assert first != second


@pytest.mark.long
def test_a_batch_below_the_replica_count_is_refused(data_dir):
    answer = run(4, 8, 3, data_dir)
    assert answer.returncode == 2
    assert answer.stdout.startswith(
        "--batch_size=3: less than one example for each of the 4 replicas"
    )


def test_one_device_needs_no_mirror():
    chosen = devices.choose(resolve({}))
    if not tf.config.list_logical_devices("GPU"):
        assert chosen.replicas == 1
        assert chosen.description == "1 x CPU, float32"


def test_mixed_precision_follows_the_device_and_says_so():
    policy, reason = devices.choose_precision(True)
    assert policy in reason.replace("mixed ", "mixed_") or policy == "float32"
    with open("/proc/cpuinfo") as file:
        bfloat16 = "bf16" in file.read()
    if not tf.config.list_physical_devices("GPU"):
        assert policy == ("mixed_bfloat16" if bfloat16 else "float32")
    assert devices.choose_precision(False) == ("float32", "float32")


def test_xla_is_for_gpus_unless_asked_for():
    gpu = bool(tf.config.list_physical_devices("GPU"))
    assert devices.choose_jit(resolve({}), 1) is gpu
    assert devices.choose_jit(resolve({"jit": "on"}), 2) is True
    assert devices.choose_jit(resolve({"jit": "off"}), 1) is False
    with pytest.raises(
        UsageError, match="--jit=on: not with --base_batchnorm=update on 2 replicas"
    ):
        devices.choose_jit(resolve({"jit": "on", "base_batchnorm": "update"}), 2)


def test_one_worker_alone_agrees_with_itself():
    chosen = devices.choose(resolve({}))
    chosen.require_same([1, 2], "nothing")
    assert chosen.sum_over_workers(np.arange(3)).tolist() == [0, 1, 2]
    assert (chosen.chief, chosen.workers, chosen.local) == (True, 1, range(len(chosen.names)))
