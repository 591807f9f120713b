import doctest

import numpy as np
import pytest
import tensorflow as tf

from dftk.input import batches


def test_the_examples_in_docstrings_run():
    assert doctest.testmod(batches) == (0, 3)


def collect(examples, rows, **options):
    """Returns the columns of one epoch, except images and weights, and the sizes of its batches."""
    dataset = examples.batches(rows, **options)
    batches = list(dataset.as_numpy_iterator())
    joined = {
        name: np.concatenate([batch[name] for batch in batches])
        for name in batches[0]
        if name not in ("example_weight", "image")
    }
    return joined, [len(batch["index"]) for batch in batches]


@pytest.mark.parametrize(
    ("rows", "batch_size", "num_replicas"),
    [(320, 32, 1), (7, 32, 2), (101, 10, 4), (65, 32, 2), (9, 8, 8), (1, 1, 1)],
)
def test_plan_visits_every_row_once_in_even_parts(rows, batch_size, num_replicas):
    starts, stops, weights = batches.plan(rows, batch_size, num_replicas)
    assert np.concatenate([np.arange(a, b) for a, b in zip(starts, stops)]).tolist() == list(
        range(rows)
    )
    sizes = (stops - starts).reshape(-1, num_replicas)
    assert sizes.min() > 0, "no idle replica"
    assert sizes.sum(axis=1).max() <= max(batch_size, 2 * num_replicas)
    assert np.ptp(sizes.sum(axis=1)) <= 1, "no small batch"
    assert np.ptp(sizes, axis=1).max() <= 1, "even parts"
    # The weights of a global batch's examples add up to one, whatever its size.
    np.testing.assert_allclose(
        (sizes * weights.reshape(-1, num_replicas)).sum(axis=1), 1, rtol=1e-6
    )


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
    np.testing.assert_array_equal(first["augment_randoms"], again["augment_randoms"])
    assert sorted(first["index"]) == list(range(400))
    for key in ((42, 1), (43, 0)):
        other, _ = collect(examples, rows, batch_size=32, shuffle=key)
        assert (other["index"] != first["index"]).mean() > 0.9
        assert not np.array_equal(
            np.sort(other["augment_randoms"], 0), np.sort(first["augment_randoms"], 0)
        )


def test_a_rows_randoms_do_not_depend_on_batch_replicas_or_fold(examples):
    def by_row(rows, **options):
        joined, _ = collect(examples, rows, shuffle=(42, 3), **options)
        return dict(zip(joined["index"].tolist(), map(tuple, joined["augment_randoms"])))

    whole = by_row(np.arange(400), batch_size=32)
    for other in (
        by_row(np.arange(400), batch_size=7, num_replicas=3),
        by_row(examples.rows([0, 3]), batch_size=16),
    ):
        assert all(whole[row] == randoms for row, randoms in other.items())
    table = np.array(list(whole.values()))
    assert table.min() >= 0
    assert table.max() < 1
    assert abs(table.mean() - 0.5) < 0.02


def test_replicas_get_the_same_global_batches(examples):
    rows = np.arange(101)
    one, _ = collect(examples, rows, batch_size=10, shuffle=(42, 0))
    four, sizes = collect(examples, rows, batch_size=10, num_replicas=4, shuffle=(42, 0))
    np.testing.assert_array_equal(one["index"], four["index"])
    assert min(sizes) >= 2


def test_without_shuffle_the_order_is_kept_and_there_are_no_randoms(examples):
    joined, _ = collect(examples, np.arange(50, 90), batch_size=16)
    assert joined["index"].tolist() == list(range(50, 90))
    assert "augment_randoms" not in joined


def test_epochs_share_one_trace(examples, monkeypatch):
    calls = []
    fetch = examples.batches._fetch
    monkeypatch.setattr(examples.batches, "_fetch", lambda rows: calls.append(1) or fetch(rows))
    for epoch in range(5):
        for _ in examples.batches(np.arange(390 - epoch), batch_size=16, shuffle=(9, epoch)):
            pass
    assert len(calls) <= 2, "one for the first, one for other numbers of rows"


def test_an_epoch_resumes_at_any_batch_and_a_worker_takes_its_own_parts(examples):
    rows, given = np.arange(50), {"batch_size": 8, "num_replicas": 4, "shuffle": (3, 1)}
    whole, sizes = collect(examples, rows, **given)
    after, _ = collect(examples, rows, start_step=3, **given)
    skipped = sum(sizes[: 3 * 4])
    np.testing.assert_array_equal(after["index"], whole["index"][skipped:])
    np.testing.assert_array_equal(after["augment_randoms"], whole["augment_randoms"][skipped:])
    workers = [
        collect(examples, rows, local_replicas=local, **given) for local in (range(2), range(2, 4))
    ]
    cuts = np.cumsum(sizes)[:-1]
    pieces = np.split(whole["index"], cuts)
    for worker, (found, _) in enumerate(workers):
        own = [piece for part, piece in enumerate(pieces) if part % 4 // 2 == worker]
        np.testing.assert_array_equal(found["index"], np.concatenate(own))


def test_an_epoch_that_is_over_has_no_batch_left(examples):
    assert list(examples.batches(np.arange(10), batch_size=5, start_step=2, shuffle=(0, 0))) == []


def test_new_random_streams_did_not_change_the_first(examples):
    """The first five numbers are the same as when there were no others."""
    batch = next(iter(examples.batches(np.arange(40), batch_size=40, shuffle=(42, 3))))
    before = np.random.default_rng([42, 3, 1]).random((len(examples.labels), 5), np.float32)
    np.testing.assert_array_equal(batch["augment_randoms"][:, :5], before[batch["index"].numpy()])
