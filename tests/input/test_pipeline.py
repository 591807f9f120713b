import gc
import time

import numpy as np
import tensorflow as tf

from dftk.input import pipeline
from dftk.models import preprocess


def test_every_chunk_tells_where_it_belongs(dataset, examples):
    rows = []
    for start, records in pipeline.chunks(dataset.train, 7):
        names = pipeline.parse(records)["filename"].numpy()
        assert len(names) <= 7
        for row, name in enumerate(names, int(start)):
            assert examples.filenames[row] == name.decode()
            rows.append(row)
    assert sorted(rows) == list(range(400))


def test_resized_images_are_the_models_own_resize_rounded(dataset):
    records = next(iter(pipeline.chunks(dataset.train, 3)))[1]
    jpegs = pipeline.parse(records)["image"]
    small = pipeline.decode_batch(jpegs, (40, 40, 3), 40)
    assert small.dtype == tf.uint8
    assert small.shape == (3, 40, 40, 3)
    pixels = pipeline.decode_batch(jpegs, (64, 64, 3), None)
    model = preprocess.unit_image(40)(pixels) * 255
    assert np.abs(tf.cast(small, tf.float32) - model).max() <= 0.5001


def test_pipelines_run_without_the_autotuner_in_the_threads_given(examples):
    options = examples.batches(np.arange(8), batch_size=8).options()
    assert options.autotune.enabled is False
    assert options.threading.private_threadpool_size == 2
    assert options.deterministic is True


def test_the_end_of_an_epoch_waits_for_no_tuner(dataset):
    """With the autotuner on, some of the iterators take up to half a second to go away."""
    for _ in range(6):
        iterator = iter(pipeline.decoded_chunks(pipeline.ImageRecords(dataset.train, (64, 64, 3))))
        for _ in iterator:
            pass
        started = time.perf_counter()
        del iterator
        gc.collect(0)
        assert time.perf_counter() - started < 0.2
