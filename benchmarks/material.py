"""What the benchmarks share: pictures like RVF10K's, the notebook's pipeline, paired timing."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_rvf10k

IMAGES = 640
SIZE = 256


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
    """The replaced notebook's way: files, decode, resize, shuffle floats, five ops per image."""

    def read(path, label):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, [224, 224]) / 255.0, label

    def augment(image, label):
        image = tf.image.random_flip_left_right(image)
        image = tf.image.random_brightness(image, 0.2)
        image = tf.image.random_contrast(image, 0.8, 1.2)
        image = tf.image.random_saturation(image, 0.8, 1.2)
        return tf.image.random_hue(image, 0.05), label

    dataset = tf.data.Dataset.from_tensor_slices((files, labels))
    dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE).shuffle(512)
    dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def seconds(work) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Of two times measured in turn: the median, and its 95 % bootstrap interval."""

    median: float
    low: float
    high: float


def compare(benchmark, ours, theirs, examples: int, rounds: int = 9) -> Ratio:
    """Times both in turn, A B A B ...; returns theirs / ours, pair by pair.

    A gate asserts on `high`: it fails only when the whole interval is past the limit, so that a
    noisy neighbour cannot trip it. `benchmark` records our absolute time for comparisons on one
    machine, and the figures of both sides in its extra_info.
    """
    for work in (ours, theirs):
        work()  # warm up: traces, caches, autotuning
    pairs = np.array([(seconds(theirs), seconds(ours)) for _ in range(rounds)])
    ratios = pairs[:, 0] / pairs[:, 1]
    draws = np.random.default_rng(0).choice(ratios, (1000, rounds))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    ratio = Ratio(float(np.median(ratios)), float(low), float(high))
    theirs_s, ours_s = np.median(pairs, axis=0)
    benchmark.extra_info.update(
        dataclasses.asdict(ratio),
        ours_img_per_s=float(examples / ours_s),
        theirs_img_per_s=float(examples / theirs_s),
    )
    benchmark.pedantic(ours, rounds=3, iterations=1)
    print({name: round(value, 3) for name, value in benchmark.extra_info.items()})
    return ratio
