"""Input: dftk's pipeline against the notebook's way of reading, and against its own ceiling."""

import numpy as np
import pytest
import tensorflow as tf
from material import IMAGES, build_dataset, compare, draw_tree, notebook_pipeline

from dftk.data import catalog, pipeline, residency
from dftk.models import preprocess


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    draw_tree(root)
    return root


@pytest.fixture(scope="module")
def dataset(tree, tmp_path_factory):
    directory = build_dataset(tree, tmp_path_factory.mktemp("data"))
    return catalog.open_dataset(directory, None, 5)


@pytest.fixture(scope="module")
def examples(dataset):
    return residency.load(dataset.train)


@pytest.fixture(scope="module")
def notebook_epoch(tree):
    files = sorted(map(str, tree.rglob("*.jpg")))
    dataset = notebook_pipeline(files, [int("/fake/" in file) for file in files])
    return lambda: consume(dataset)


def consume(dataset):
    for _ in dataset:
        pass


def resident_epoch(examples, shuffle=(42, 0)):
    rows = np.arange(len(examples.labels))
    return pipeline.batches(examples.images, examples.labels, rows, batch_size=32, shuffle=shuffle)


def test_uint8_batches_from_memory_against_the_notebook(benchmark, examples, notebook_epoch):
    """What the host does in an epoch: gather uint8, against read, decode, resize and augment."""
    ratio = compare(benchmark, lambda: consume(resident_epoch(examples)), notebook_epoch, IMAGES)
    assert ratio.high > 10


def test_augmented_floats_against_the_notebook(benchmark, examples, notebook_epoch):
    """The same work on both sides: shuffled, resized, augmented float batches of 224 pixels."""
    unit_image = preprocess.unit_image(224)

    @tf.function
    def device_work(batch):
        return preprocess.augment(unit_image(batch["image"]), batch["draws"])

    def epoch():
        for batch in resident_epoch(examples):
            device_work(batch)

    assert compare(benchmark, epoch, notebook_epoch, IMAGES).high > 0.8


def test_cold_load_against_decoding_alone(benchmark, dataset):
    """Reading, parsing and storing beside decode_jpeg of the same bytes in memory."""
    jpegs = [pipeline.parse(record)["image"] for record in pipeline.records(dataset.train)]
    ceiling = tf.data.Dataset.from_tensor_slices(jpegs).map(
        pipeline.decode_jpeg, num_parallel_calls=tf.data.AUTOTUNE
    )
    ratio = compare(
        benchmark,
        lambda: residency.load(dataset.train),
        lambda: consume(ceiling.prefetch(tf.data.AUTOTUNE)),
        IMAGES,
    )
    assert ratio.high > 0.3


def test_one_compiled_augmentation_against_five_ops_per_image(benchmark, examples):
    """On the CPU, as the training step calls it there."""
    images = tf.image.resize(tf.cast(examples.images[:64], tf.float32), [224, 224]) / 255.0
    draws = tf.constant(np.random.default_rng(0).random((64, pipeline.DRAWS), np.float32))

    @tf.function
    def chain(pair):
        image, draw = pair
        image = tf.cond(draw[0] < 0.5, lambda: tf.image.flip_left_right(image), lambda: image)
        image = tf.image.adjust_brightness(image, -0.2 + 0.4 * draw[1])
        image = tf.image.adjust_contrast(image, 0.8 + 0.4 * draw[2])
        image = tf.image.adjust_saturation(image, 0.8 + 0.4 * draw[3])
        return tf.image.adjust_hue(image, -0.05 + 0.1 * draw[4])

    one_by_one = tf.function(
        lambda: tf.map_fn(chain, (images, draws), fn_output_signature=tf.float32)
    )
    np.testing.assert_allclose(one_by_one(), preprocess.augment(images, draws), atol=1e-5)
    ratio = compare(
        benchmark,
        lambda: preprocess.augment(images, draws).numpy(),
        lambda: one_by_one().numpy(),
        64,
    )
    assert ratio.high > 1.3
