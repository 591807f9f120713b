import gc
import time

import numpy as np
import pytest
import tensorflow as tf

from dftk.data import batches, pipeline
from dftk.models import preprocess


def collect(examples, rows, **options):
    """One epoch: index, draws, label and the batch sizes, in order."""
    dataset = examples.batches(rows, **options)
    batches = list(dataset.as_numpy_iterator())
    joined = {
        name: np.concatenate([batch[name] for batch in batches])
        for name in batches[0]
        if name not in ("share", "image")
    }
    return joined, [len(batch["index"]) for batch in batches]


@pytest.mark.parametrize(
    ("rows", "batch_size", "parts"),
    [(320, 32, 1), (7, 32, 2), (101, 10, 4), (65, 32, 2), (9, 8, 8), (1, 1, 1)],
)
def test_plan_visits_every_row_once_in_even_parts(rows, batch_size, parts):
    starts, stops, shares = batches.plan(rows, batch_size, parts)
    assert np.concatenate([np.arange(a, b) for a, b in zip(starts, stops)]).tolist() == list(
        range(rows)
    )
    sizes = (stops - starts).reshape(-1, parts)
    assert sizes.min() > 0, "no idle replica"
    assert sizes.sum(axis=1).max() <= max(batch_size, 2 * parts)
    assert np.ptp(sizes.sum(axis=1)) <= 1, "no runt batch"
    assert np.ptp(sizes, axis=1).max() <= 1, "even parts"
    # The weights of a global batch's examples add up to one, whatever its size.
    np.testing.assert_allclose((sizes * shares.reshape(-1, parts)).sum(axis=1), 1, rtol=1e-6)


def test_images_leave_the_host_as_uint8(examples):
    batch = next(iter(examples.batches(np.arange(8), batch_size=8)))
    assert batch["image"].dtype == tf.uint8
    assert batch["image"].shape == (8, 64, 64, 3)
    others = sum(value.numpy().nbytes for name, value in batch.items() if name != "image")
    assert others / 8 <= 40, "bytes per example beside its pixels"


def test_pixels_label_and_name_stay_together(examples):
    rows = examples.rows([1, 2])
    for batch in examples.batches(rows, batch_size=32, shuffle=(1, 0)).as_numpy_iterator():
        for position, row in enumerate(batch["index"]):
            np.testing.assert_array_equal(batch["image"][position], examples.fetch([row])[0])
            assert batch["label"][position] == ("/fake/" in examples.filenames[row])


def test_order_is_keyed_by_seed_and_epoch(examples):
    rows = np.arange(400)
    first, _ = collect(examples, rows, batch_size=32, shuffle=(42, 0))
    again, _ = collect(examples, rows, batch_size=32, shuffle=(42, 0))
    np.testing.assert_array_equal(first["index"], again["index"])
    np.testing.assert_array_equal(first["draws"], again["draws"])
    assert sorted(first["index"]) == list(range(400))
    for key in ((42, 1), (43, 0)):
        other, _ = collect(examples, rows, batch_size=32, shuffle=key)
        assert (other["index"] != first["index"]).mean() > 0.9
        assert not np.array_equal(np.sort(other["draws"], 0), np.sort(first["draws"], 0))


def test_a_rows_draws_do_not_depend_on_batch_replicas_or_fold(examples):
    def by_row(rows, **options):
        joined, _ = collect(examples, rows, shuffle=(42, 3), **options)
        return dict(zip(joined["index"].tolist(), map(tuple, joined["draws"])))

    alone = by_row(np.arange(400), batch_size=32)
    for other in (
        by_row(np.arange(400), batch_size=7, parts=3),
        by_row(examples.rows([0, 3]), batch_size=16),
    ):
        assert all(alone[row] == draws for row, draws in other.items())
    table = np.array(list(alone.values()))
    assert table.min() >= 0
    assert table.max() < 1
    assert abs(table.mean() - 0.5) < 0.02


def test_replicas_get_the_same_global_batches(examples):
    rows = np.arange(101)
    one, _ = collect(examples, rows, batch_size=10, shuffle=(42, 0))
    four, sizes = collect(examples, rows, batch_size=10, parts=4, shuffle=(42, 0))
    np.testing.assert_array_equal(one["index"], four["index"])
    assert min(sizes) >= 2


def test_without_shuffle_order_is_kept_and_nothing_is_drawn(examples):
    joined, _ = collect(examples, np.arange(50, 90), batch_size=16)
    assert joined["index"].tolist() == list(range(50, 90))
    assert "draws" not in joined


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


def test_epochs_share_one_trace(examples, monkeypatch):
    calls = []
    fetch = examples.batcher._fetch
    monkeypatch.setattr(examples.batcher, "_fetch", lambda rows: calls.append(1) or fetch(rows))
    for epoch in range(5):
        for _ in examples.batches(np.arange(390 - epoch), batch_size=16, shuffle=(9, epoch)):
            pass
    assert len(calls) <= 2, "one for the first, one for other numbers of rows"


def test_the_end_of_an_epoch_waits_for_no_tuner(dataset):
    """With the autotuner on, some of the iterators take up to half a second to go away."""
    for _ in range(6):
        iterator = iter(pipeline.decoded(dataset.train, (64, 64, 3)))
        for _ in iterator:
            pass
        started = time.perf_counter()
        del iterator
        gc.collect(0)
        assert time.perf_counter() - started < 0.2
