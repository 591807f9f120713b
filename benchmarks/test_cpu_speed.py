"""Steps on a CPU that dftk.utils.cpu has prepared, against TensorFlow without preparation."""

import json
import os
import subprocess
import sys

import pytest

from dftk.utils import cpu

ROUNDS = 3
CODE = """
import hashlib, json, sys, time
from dftk.utils import cpu
if sys.argv[1] == "kept":
    assert cpu.keep_freed_memory()
if sys.argv[1] == "prepared":
    cpu.prepare()
import tensorflow as tf
from dftk.training.config import resolve
from dftk.models import registry

config = resolve({"model": "mobilenetv2_multilevel", "weights": "none"})
detector = registry.build(config, "float32", False)
variables = detector.base.trainable_variables
forward = tf.function(lambda images: detector.features(images, training=False))

@tf.function
def step(images):
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(detector.features(images, training=True))
    return [g for g in tape.gradient(total, variables) if g is not None]

found = {}
for name, call, size, times in (("forward", forward, 256, 4), ("step", step, 128, 6)):
    images = tf.random.stateless_uniform((32, size, size, 3), [1, 2])
    call(images)
    call(images)
    began = time.perf_counter()
    for _ in range(times):
        result = call(images)
    found[name] = times * 32 / (time.perf_counter() - began)
    if name == "forward":
        found["bits"] = hashlib.sha256(result.numpy().tobytes()).hexdigest()
print(json.dumps(found))
"""


def measured(how):
    command = [sys.executable, "-c", CODE, how]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GLIBC_TUNABLES", "TF_ENABLE_ONEDNN_OPTS"))
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.skipif(cpu.has_gpu(), reason="there is a GPU")
def test_steps_on_a_prepared_cpu_against_tensorflow_as_it_comes():
    """Keeping freed memory gives the same bits; oneDNN's kernels round differently."""
    found = {how: [] for how in ("plain", "kept", "prepared")}
    for _ in range(ROUNDS):
        for how, runs in found.items():
            runs.append(measured(how))
    for how in ("kept", "prepared"):
        for name in ("forward", "step"):
            pairs = zip(found[how], found["plain"])
            ratios = sorted(ours[name] / plain[name] for ours, plain in pairs)
            print(f"{how} {name}: {ratios[ROUNDS // 2]:.2f} {[round(r, 2) for r in ratios]}")
            assert ratios[ROUNDS // 2] > 1.05
    assert len({run["bits"] for run in found["plain"] + found["kept"]}) == 1, "the same bits"
