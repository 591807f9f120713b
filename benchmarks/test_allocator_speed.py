"""Steps on a CPU with freed memory kept by glibc, against the same steps without: same bits."""

import hashlib
import json
import os
import statistics
import subprocess
import sys

import pytest

ROUNDS = 3
CODE = """
import json, sys, time
from dftk import allocator
kept = sys.argv[1] == "kept" and allocator.keep_freed_memory()
import tensorflow as tf
from dftk.config import resolve
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

found = {"kept": kept}
for name, call, size, times in (("forward", forward, 256, 4), ("step", step, 128, 6)):
    images = tf.random.stateless_uniform((32, size, size, 3), [1, 2])
    call(images)
    call(images)
    began = time.perf_counter()
    for _ in range(times):
        result = call(images)
    found[name] = times * 32 / (time.perf_counter() - began)
print(json.dumps(found), b"".join(t.numpy().tobytes() for t in tf.nest.flatten(result)).hex())
"""


def measured(how):
    command = [sys.executable, "-c", CODE, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    speeds, _, result = done.stdout.strip().rpartition(" ")
    return json.loads(speeds), hashlib.sha256(result.encode()).hexdigest()


@pytest.mark.long
@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a GPU")
def test_steps_with_freed_memory_kept_against_without():
    plain, kept = [], []
    for _ in range(ROUNDS):
        plain.append(measured("plain"))
        kept.append(measured("kept"))
    assert all(speeds["kept"] for speeds, _ in kept)
    assert len({result for _, result in plain + kept}) == 1, "the same bits"
    for name in ("forward", "step"):
        ratios = [with_it[name] / without[name] for (with_it, _), (without, _) in zip(kept, plain)]
        print(f"{name}: {statistics.median(ratios):.2f} {[round(ratio, 2) for ratio in ratios]}")
        assert statistics.median(ratios) > 1.05
