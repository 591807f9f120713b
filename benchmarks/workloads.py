"""What is timed against what: pairs (ours, theirs) for the benchmarks and for test_gates.py.

Datasets are made inside the work, so that a test can change parts of the pipeline.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from material import SIZE, notebook_augment

from dftk.inference import stream
from dftk.input import batches, decoding, pipeline, residency
from dftk.input.residency import Examples
from dftk.input.shards import Shard
from dftk.models.augmentation import transforms
from dftk.perf.timing import Work
from dftk.runs import saved_models

Pair = tuple[Work, Work]
BATCH_SIZE = 32
READINGS = 4  # of every shard: the stream starts in 80 ms, which must not count for much
LOADINGS = 2  # the same of a first load, whose limit is loose
COPIES = 8  # of the store's bytes: an epoch starts in 8 ms, which must not count for much
STEPS, WAIT_S = 16, 0.02  # of the consumer that waits, seconds a step
AUGMENTED_BATCHES = 8


def consume(dataset: tf.data.Dataset) -> None:
    """Iterates to the end."""
    for _ in dataset:
        pass


def decoding_alone(
    shards: Sequence[Shard], readings: int, parallel: int = tf.data.AUTOTUNE
) -> Work:
    """decode_jpeg of bytes in memory, as parallel as tf.data's autotuner chooses: the ceiling."""
    jpegs = [pipeline.parse(records)["image"] for _, records in pipeline.chunks(shards, 32)]
    decoded = tf.data.Dataset.from_tensor_slices(tf.concat(jpegs, 0)).repeat(readings)
    decoded = decoded.map(decoding.decode_image, num_parallel_calls=parallel)
    decoded = decoded.prefetch(tf.data.AUTOTUNE)
    return lambda: consume(decoded)


def cold_stream(shards: Sequence[Shard]) -> Pair:
    """Reading, parsing and decoding every shard READINGS times; against decoding alone."""
    records = pipeline.ImageRecords((*shards,) * READINGS, (SIZE, SIZE, 3))

    def stream() -> None:
        consume(pipeline.decoded_chunks(records))

    return stream, decoding_alone(shards, READINGS)


def first_load(shards: Sequence[Shard]) -> Pair:
    """The same with the pixels kept in new memory."""

    def load() -> None:
        residency.open_examples([*shards] * LOADINGS, "ram")

    return load, decoding_alone(shards, LOADINGS)


def epoch(examples: Examples, times: int = 1) -> Work:
    """The host's work in one shuffled epoch of all rows, or of all rows several times."""
    rows = np.tile(np.arange(len(examples.labels)), times)
    return lambda: consume(examples.batches(rows, batch_size=BATCH_SIZE, shuffle=(42, 0)))


def memory(examples: Examples) -> Pair:
    """Shuffled batches of COPIES times all rows; against copying all pixels COPIES times."""
    source = examples.fetch(np.arange(len(examples.labels))).numpy()
    target = source.copy()  # written once, so that page faults are no part of the copy

    def copies() -> None:
        for _ in range(COPIES):
            np.copyto(target, source)

    return epoch(examples, COPIES), copies


def waiting() -> Pair:
    """A consumer that waits, on input that waits as long, as for a far disk; against it alone."""

    def far(rows: np.ndarray) -> np.ndarray:
        time.sleep(WAIT_S)
        return np.zeros((len(rows), 8, 8, 3), np.uint8)

    def fetch(rows: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.numpy_function(far, [rows], tf.uint8), [-1, 8, 8, 3])

    batcher = batches.Batcher(fetch, np.zeros(STEPS, np.int64), max_parallel=2)

    def together() -> None:
        for _ in batcher(np.arange(STEPS), batch_size=1):
            time.sleep(WAIT_S)

    return together, lambda: [time.sleep(WAIT_S) for _ in range(STEPS)]


def augmentation(images: tf.Tensor, randoms: tf.Tensor) -> Pair:
    """Augmented batches of float32 images; against the notebook's parallel map, as it ran.

    Args:
      images: float32 [BATCH_SIZE, h, w, 3] in [0, 1].
      randoms: float32 [BATCH_SIZE, transforms.NUM_RANDOMS].
    """
    one_by_one = tf.data.Dataset.from_tensor_slices(images).repeat(AUGMENTED_BATCHES)
    one_by_one = one_by_one.map(notebook_augment, num_parallel_calls=tf.data.AUTOTUNE)
    one_by_one = one_by_one.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)

    def at_once() -> None:
        for _ in range(AUGMENTED_BATCHES):
            transforms.flip_and_jitter(images, randoms).numpy()

    return at_once, lambda: consume(one_by_one)


def predicting(ensemble: saved_models.Ensemble, files: Sequence[Path]) -> Pair:
    """Scoring files; against the models alone on the same images in batches of the same size."""
    images = tf.stack([decoding.decode_image(file.read_bytes()) for file in files])
    batches_of_them = tf.split(images, len(files) // stream.BATCH_SIZE)

    def bare() -> None:
        for batch in batches_of_them:
            ensemble(batch)

    return lambda: sum(1 for _ in stream.score_files(ensemble, files)), bare
