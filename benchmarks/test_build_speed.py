"""Building the dataset against TFDS's own builder, and against copying its files."""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gates
import numpy as np
import pytest
import stock_builder
from material import IMAGES, build_dataset, compare
from PIL import Image

pytest_plugins = ["shared_fixtures"]
_SIDE = 128  # pixels of the pictures of the scale test


@pytest.fixture
def fresh():
    """Gives a new folder at each call."""
    number = itertools.count()
    with tempfile.TemporaryDirectory() as scratch:
        yield lambda: Path(scratch, str(next(number)))


def test_build_against_the_stock_builder(benchmark, tree, fresh):
    """Both decode every file once as a check; ours also hashes, makes folds and verifies."""
    compare(
        benchmark,
        lambda: build_dataset(tree, fresh()),
        lambda: stock_builder.build(tree, fresh()),
        IMAGES,
        gates.STOCK_BUILDER,
    )


def test_build_against_a_plain_copy(benchmark, tree, fresh):
    """Building decodes every file and writes shuffled TFRecords by fold; a copy only copies."""
    compare(
        benchmark,
        lambda: build_dataset(tree, fresh()),
        lambda: shutil.copytree(tree, fresh()),
        IMAGES,
        gates.PLAIN_COPY,
    )


BUILD = """
import json, os, resource, sys, time
import tensorflow as tf, tensorflow_datasets as tfds, tfds_rvf10k
from sklearn import model_selection
tf.io.decode_jpeg(tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8)))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, started = peak(), time.perf_counter()
builder = tfds_rvf10k.Builder(data_dir=sys.argv[2])
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=sys.argv[1]))
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "before": before, "bytes": peak() - before}))
"""


@pytest.mark.long
def test_time_is_linear_and_memory_flat(fresh):
    """10,000, 30,000 and 100,000 drawn images, each built by a process of its own."""
    tree, drawn, found = fresh(), 0, {}
    for count in (10_000, 30_000, 100_000):
        draw(tree, drawn, count)
        drawn = count
        answer = subprocess.run(
            [sys.executable, "-c", BUILD, str(tree), str(fresh())],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found[count] = json.loads(answer.stdout.splitlines()[-1])
        print(count, found[count])
    gates.build_scales(found)


def draw(tree, start, stop):
    """Draws images of enlarged noise of 16x16 pixels: no two are alike, and it is quick."""
    for index in range(start, stop):
        folder = tree / ("real", "fake")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 256, (16, 16, 3), np.uint8)
        image = Image.fromarray(noise).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        image.save(folder / f"{index:06d}.jpg", quality=90)
