"""What the benchmarks share: images like RVF10K's, the notebook's pipeline, timing, counting."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from gates import Gate

import tfds_rvf10k
from dftk.input import decoding
from dftk.perf import timing

IMAGES = 640
SIZE = 256
ROUNDS = 7  # of a comparison, at most


def draw_tree(root: Path) -> None:
    """Draws IMAGES pictures of 256x256 pixels and about 28 kB, as RVF10K's, half of each class."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : 2 * np.pi : SIZE * 1j, 0 : 2 * np.pi : SIZE * 1j]
    for index in range(IMAGES):
        waves = [np.sin(a * y + b * x + c) for a, b, c in rng.uniform(-6, 6, (3, 3))]
        pixels = 128 + 50 * np.stack(waves, -1) + 9 * rng.standard_normal((SIZE, SIZE, 3))
        jpeg = tf.io.encode_jpeg(np.clip(pixels, 0, 255).astype(np.uint8), quality=84)
        folder = root / "train" / ("real", "fake")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index:05d}.jpg").write_bytes(jpeg.numpy())


def build_dataset(tree: Path, data_dir: Path) -> str:
    """Builds the drawn tree as rvf10k; returns the dataset's directory."""
    builder = tfds_rvf10k.Builder(data_dir=str(data_dir), config="kfold5")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(tree)))
    return str(builder.data_path)


def notebook_pipeline(files: list[str], labels: list[int], batch_size: int = 32) -> tf.data.Dataset:
    """The pipeline of the notebook that dftk replaces: decodes and augments each file by itself."""

    def read(path, label):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, [224, 224]) / 255.0, label

    dataset = tf.data.Dataset.from_tensor_slices((files, labels))
    dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE).shuffle(512)
    dataset = dataset.map(
        lambda image, label: (notebook_augment(image), label), num_parallel_calls=tf.data.AUTOTUNE
    )
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def notebook_augment(image: tf.Tensor) -> tf.Tensor:
    """The notebook's five operations on one image, float32 [h, w, 3] in [0, 1]."""
    image = tf.image.random_flip_left_right(image)
    image = tf.image.random_brightness(image, 0.2)
    image = tf.image.random_contrast(image, 0.8, 1.2)
    image = tf.image.random_saturation(image, 0.8, 1.2)
    return tf.image.random_hue(image, 0.05)


def compare(
    benchmark,
    ours: timing.Work,
    theirs: timing.Work,
    examples: int,
    gate: Gate | None = None,
    rounds: int = ROUNDS,
) -> timing.Ratio:
    """Times both in turn and checks the gate; returns theirs / ours, see dftk.perf.timing.compare.

    The benchmark's extra_info gets the ratio, both rates in examples per second, and the machine.
    The benchmark's own times are ours, for comparisons of two commits on one machine.

    Args:
      benchmark: the fixture of pytest-benchmark.
      ours, theirs: what is timed.
      examples: that one call of either processes.
      gate: the least ratio; None records only. Timing stops early once the ratio is clear of it.
      rounds: most pairs that are timed.

    Raises:
      AssertionError: the gate fails.
    """
    times: list[float] = []
    ratio = timing.compare(
        lambda: times.append(timing.seconds(ours)), theirs, rounds, gate and gate.limit
    )
    benchmark.extra_info.update(
        dataclasses.asdict(ratio),
        ours_img_per_s=examples / ratio.ours_s,
        theirs_img_per_s=examples / ratio.theirs_s,
        machine=timing.describe_machine(),
    )
    # --benchmark-compare goes by the median of as many calls as fit into a second, at least one,
    # and of those that were timed already. The first of these was the warm-up.
    benchmark.pedantic(ours, rounds=max(1, min(30, int(1 / ratio.ours_s))), iterations=1)
    if benchmark.enabled:
        for seconds in times[1:]:
            benchmark.stats.update(seconds)
    print(
        f"\n{benchmark.name}: {ratio.median:.3g} [{ratio.low:.3g}, {ratio.high:.3g}], "
        f"{examples / ratio.ours_s:,.0f} against {examples / ratio.theirs_s:,.0f} img/s"
    )
    if gate:
        gate.check(ratio)
    return ratio


@contextlib.contextmanager
def counted_decodes() -> Iterator[list[int]]:
    """Gives a list that grows by one with every JPEG decoded by pipelines made in the block."""
    calls: list[int] = []
    real = decoding.decode_image

    def counted(contents):
        if tf.executing_eagerly():
            calls.append(1)
        else:
            with tf.control_dependencies([tf.py_function(lambda: calls.append(1), [], [])]):
                contents = tf.identity(contents)
        return real(contents)

    decoding.decode_image = counted
    try:
        yield calls
    finally:
        decoding.decode_image = real
