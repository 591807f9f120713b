"""Loaders of dftk, Keras, TFDS and the notebook that dftk replaces; all of them use tf.data."""

from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf
import tensorflow_datasets
from loaders import BATCH_SIZE, SEED, SIZE, Batch, Build, Epoch, Material, Write
from material import build_dataset, notebook_pipeline

import tfds_rvf10k  # noqa: F401  registers rvf10k

AUTOTUNE = tf.data.AUTOTUNE


def write_tfrecords(material: Material) -> Write:
    """Builds rvf10k from the tree: the source files' bytes, not decoded."""
    return lambda: build_dataset(Path(material.tree), Path(material.data_dir))


def dftk(material: Material) -> Build:
    """Decodes and resizes once into memory; an epoch gathers its batches from there."""
    from dftk.datasets import catalog
    from dftk.input import residency

    def build() -> Epoch:
        train = catalog.open_dataset("rvf10k", material.data_dir, 5).train
        examples = residency.open_examples(train, "ram", size=SIZE)
        rows = examples.rows(range(5))

        def epoch(number: int) -> Iterator[Batch]:
            for batch in examples.batches(rows, batch_size=BATCH_SIZE, shuffle=(SEED, number)):
                yield batch["image"], batch["label"]

        return epoch

    return build


def image_dataset_from_directory(material: Material) -> Build:
    """https://www.tensorflow.org/tutorials/images/classification, "Configure the dataset".

    The tutorial's `cache().shuffle(1000).prefetch(AUTOTUNE)` comes after the utility has made
    batches: later epochs shuffle the order of batches, and their members stay together.
    """

    def build() -> Epoch:
        dataset = keras.utils.image_dataset_from_directory(
            material.train,
            image_size=(SIZE, SIZE),
            batch_size=BATCH_SIZE,
            seed=SEED,
            verbose=False,
        )
        # Before the cache, which then holds a quarter of what the utility's float32 would take.
        dataset = dataset.map(lambda x, y: (_to_uint8(x), y), num_parallel_calls=AUTOTUNE)
        dataset = dataset.cache().shuffle(1000).prefetch(AUTOTUNE)
        return lambda _: dataset

    return build


def tfds(material: Material) -> Build:
    """https://www.tensorflow.org/datasets/performances, "Large datasets".

    Decodes in every epoch, as for a set that does not fit in memory: files and records are
    shuffled (`shuffle_files=True` also turns TFDS's own cache off), nothing is cached.
    """

    def build() -> Epoch:
        dataset = tensorflow_datasets.load(
            "rvf10k",
            split="train",
            data_dir=material.data_dir,
            download=False,
            as_supervised=True,
            shuffle_files=True,
        )
        dataset = dataset.map(_resize, num_parallel_calls=AUTOTUNE).shuffle(1024, seed=SEED)
        dataset = dataset.batch(BATCH_SIZE).prefetch(AUTOTUNE)
        return lambda _: dataset

    return build


def tfds_cache(material: Material) -> Build:
    """https://www.tensorflow.org/datasets/performances, "Caching the dataset".

    As its example: map, cache, shuffle by the whole split's size, batch, prefetch. TFDS's own
    cache would hold the images of source size once more, so it is off.
    """

    def build() -> Epoch:
        dataset, info = tensorflow_datasets.load(
            "rvf10k",
            split="train",
            data_dir=material.data_dir,
            download=False,
            as_supervised=True,
            with_info=True,
            read_config=tensorflow_datasets.ReadConfig(try_autocache=False),
        )
        dataset = dataset.map(_resize, num_parallel_calls=AUTOTUNE).cache()
        dataset = dataset.shuffle(info.splits["train"].num_examples, seed=SEED)
        dataset = dataset.batch(BATCH_SIZE).prefetch(AUTOTUNE)
        return lambda _: dataset

    return build


def notebook(material: Material) -> Build:
    """The replaced notebook's pipeline without its augmentation: decodes in every epoch."""

    def read(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), label)

    def build() -> Epoch:
        dataset = tf.data.Dataset.from_tensor_slices(material.files())
        dataset = dataset.map(read, num_parallel_calls=AUTOTUNE).shuffle(512, seed=SEED)
        dataset = dataset.batch(BATCH_SIZE).prefetch(AUTOTUNE)
        return lambda _: dataset

    return build


def notebook_augmented(material: Material) -> Build:
    """The notebook's pipeline as it was: float32 in [0, 1], five random operations per image."""

    def build() -> Epoch:
        dataset = notebook_pipeline(*material.files(), BATCH_SIZE)
        return lambda _: dataset

    return build


def _resize(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Of one decoded image: bilinear without antialiasing, tf.image.resize's default."""
    return _to_uint8(tf.image.resize(image, [SIZE, SIZE])), label


def _to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds: a cast alone cuts off, which would darken the mean pixel by half a level."""
    return tf.cast(tf.round(image), tf.uint8)
