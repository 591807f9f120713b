"""All four residencies give the same batches."""

import doctest
import pickle
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from shard_files import rewrite
from tensorflow.python.framework import kernels

from dftk.input import raw_file, residency
from dftk.input.pipeline import ImageRecords
from dftk.utils import limits
from dftk.utils.errors import UsageError, UserError

SHAPE = (64, 64, 3)
KINDS = ("ram", "device", "disk", "none")
PIXELS = 400 * 64 * 64 * 3


@pytest.fixture(scope="module")
def opened(dataset):
    return {kind: residency.open_examples(dataset.train, kind) for kind in KINDS}


def images(examples, batch):
    """As the training step takes them."""
    if examples.pixel_words is None:
        return batch["image"]
    return residency.words_to_pixels(
        tf.gather(examples.pixel_words, batch["index"]), examples.shape
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, {"shuffle": (42, 3)}, {"shuffle": (42, 3), "num_replicas": 3}]
)
def test_every_residency_gives_the_same_batches_bit_by_bit(opened, kind, options):
    rows = opened["ram"].rows([0, 2, 3])
    ours = opened[kind].batches(rows, batch_size=28, **options)
    theirs = opened["ram"].batches(rows, batch_size=28, **options)
    for left, right in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(images(opened[kind], left), right["image"])
        for name in set(right) - {"image"}:
            np.testing.assert_array_equal(left[name], right[name])


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_the_same(opened, kind):
    for name in ("labels", "folds", "filenames"):
        np.testing.assert_array_equal(getattr(opened[kind], name), getattr(opened["ram"], name))
    assert len(set(opened[kind].filenames)) == 400
    assert opened[kind].shape == (64, 64, 3)


def test_device_batches_are_a_few_bytes(opened):
    batch = next(iter(opened["device"].batches(np.arange(32), batch_size=32, shuffle=(1, 0))))
    assert "image" not in batch
    assert sum(value.numpy().nbytes for value in batch.values()) / 32 < 56


@pytest.mark.parametrize("size", [40, 33])
def test_stored_size_is_the_same_everywhere(dataset, size):
    """33 x 33 x 3 bytes are no whole number of words."""
    rows = np.random.default_rng(0).permutation(400)[:50]
    found = []
    for kind in KINDS:
        examples = residency.open_examples(dataset.train, kind, size=size)
        batch = next(iter(examples.batches(rows, batch_size=50)))
        found.append(images(examples, batch).numpy())
        assert found[-1].shape == (50, size, size, 3)
        np.testing.assert_array_equal(found[-1], found[0])


def test_stored_size_takes_images_of_any_size(copy):
    def shrink(index, features):
        if index == 1:
            jpeg = tf.io.encode_jpeg(np.full((32, 48, 3), 200, np.uint8)).numpy()
            features["image"].bytes_list.value[0] = jpeg

    rewrite(copy().train[0], shrink)
    for kind in KINDS:
        examples = residency.open_examples(copy().train, kind, size=48)
        assert np.abs(examples.fetch([1])[0].numpy().astype(int) - 200).max() <= 1


@pytest.mark.parametrize(("kind", "decodes"), [("ram", 400), ("device", 400), ("none", 800)])
def test_jpegs_are_decoded_once_or_every_epoch(dataset, kind, decodes, counted_decodes):
    examples = residency.open_examples(dataset.train, kind)
    for epoch in range(2):
        for _ in examples.batches(np.arange(400), batch_size=32, shuffle=(1, epoch)):
            pass
    assert counted_decodes() == decodes


def test_disk_decodes_once_for_all_runs(copy, counted_decodes):
    shards = copy().train
    for _ in range(2):
        examples = residency.open_examples(shards, "disk")
        for _ in examples.batches(np.arange(400), batch_size=32):
            pass
    assert counted_decodes() == 400


def test_rows_of_a_fold_are_a_range(examples):
    for fold in range(5):
        assert examples.rows([fold]).tolist() == list(range(80 * fold, 80 * fold + 80))
        assert examples.labels[examples.rows([fold])].mean() == 0.5


def test_the_examples_in_docstrings_run():
    assert doctest.testmod(residency) == (0, 2)


def test_limit_takes_from_every_shard_alike(dataset):
    limited = residency.limit_examples(dataset.train, 110)
    assert sum(shard.length for shard in limited) == 110
    assert {shard.length for shard in limited} == {5, 6}
    assert residency.limit_examples(dataset.train, None) == dataset.train
    assert residency.limit_examples(dataset.train, 10**9) == dataset.train
    with pytest.raises(
        UsageError, match="--max_examples=3: must be at least 20, one for each shard"
    ):
        residency.limit_examples(dataset.train, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_limited_set_is_the_first_records_of_each_shard(dataset, examples, kind):
    limited = residency.open_examples(residency.limit_examples(dataset.train, 100), kind)
    assert len(limited.labels) == 100
    first = [start + i for start in range(0, 400, 20) for i in range(5)]
    assert limited.filenames.tolist() == examples.filenames[first].tolist()
    np.testing.assert_array_equal(limited.fetch([6, 99]), examples.fetch([first[6], first[99]]))


@pytest.fixture
def machine(monkeypatch):
    """Sets what is free here, in bytes."""

    def set_free(memory=10**12, disk=10**12):
        monkeypatch.setattr(limits, "available_memory", lambda: memory)
        monkeypatch.setattr(limits, "free_disk", lambda _: disk)

    return set_free


@pytest.mark.parametrize(
    ("memory", "disk", "gpu", "kind", "words"),
    [
        (10**9, 10**9, None, "ram", "0.00 GB of pixels with 1.0 GB of memory free"),
        (10**9, 10**9, 10**9, "device", "of 1.0 GB device memory"),
        (10**9, 10**9, 3 * PIXELS, "ram", "1.0 GB of memory free"),
        (PIXELS, 10**9, 10**9, "disk", "in /"),
        (PIXELS, int(PIXELS * 1.05), None, "none", "decoded every epoch"),
    ],
)
def test_auto_takes_the_first_with_room(copy, machine, memory, disk, gpu, kind, words):
    machine(memory, disk)
    chosen = residency.choose_residency("auto", copy().train, device_memory=gpu)
    assert chosen.kind == kind
    assert words in chosen.reason


def test_auto_leaves_a_place_alone_that_cannot_be_written(copy, machine):
    shards = copy().train
    raw_file.cache_path(shards, None).parent.write_text("in the way")
    machine(PIXELS)
    assert residency.choose_residency("auto", shards).kind == "none"
    with pytest.raises(UserError, match=r"in \S+, which cannot be written"):
        residency.choose_residency("disk", shards)


def test_auto_reuses_a_raw_file_on_a_full_disk(copy, machine):
    shards = copy().train
    raw_file.RawFileStore(ImageRecords(shards, SHAPE))
    machine(PIXELS, 0)
    chosen = residency.choose_residency("auto", shards)
    assert chosen.kind == "disk"
    assert chosen.reason.endswith("there from before")


@pytest.mark.parametrize("kind", ["ram", "device", "disk"])
def test_a_request_without_room_is_refused_with_the_remedy(copy, machine, kind):
    machine(PIXELS, PIXELS - 1)
    with pytest.raises(
        UserError, match=f"--cache={kind}: 0.00 GB of pixels, .*--stored_size or --max_examples"
    ):
        residency.choose_residency(kind, copy().train)


def test_a_refused_request_has_fields_and_survives_pickling(copy, machine):
    machine(PIXELS)
    with pytest.raises(residency.NoRoomError) as refused:
        residency.choose_residency("ram", copy().train)
    error = pickle.loads(pickle.dumps(refused.value))
    assert (error.requested, error.needed_bytes) == ("ram", PIXELS)
    assert error.room_bytes == pytest.approx(0.7 * PIXELS)
    assert str(error) == (
        "--cache=ram: 0.00 GB of pixels, room for 0.00 GB with 0.0 GB of memory free; "
        "try --cache=auto, --stored_size or --max_examples"
    )


def test_a_png_by_the_name_of_jpg_has_a_shape(copy):
    def rename(index, features):
        if index == 0:
            png = tf.io.encode_png(np.full((64, 64, 3), 9, np.uint8)).numpy()
            features["image"].bytes_list.value[0] = png

    rewrite(copy().train[0], rename)
    examples = residency.open_examples(copy().train, "ram")
    assert (examples.fetch([0]) == 9).numpy().all()


def test_stored_size_is_what_has_to_fit(copy, machine):
    machine(PIXELS, 0)
    assert residency.choose_residency("auto", copy().train, size=32).kind == "ram"
    assert residency.choose_residency("auto", copy().train).kind == "none"


def test_batches_in_flight_are_bounded_by_memory(dataset, monkeypatch):
    def parallel(memory):
        monkeypatch.setattr(limits, "available_memory", lambda: memory)
        examples = residency.open_examples(dataset.train, "none")
        options = examples.batches(np.arange(400), batch_size=32).options()
        return options.threading.private_threadpool_size

    batch = 32 * 64 * 64 * 3
    assert parallel(10**12) == limits.cores()
    assert parallel(10 * batch) == 1
    assert parallel(0) == 1


def test_what_device_residency_gathers_has_a_gpu_kernel():
    """GatherV2 has none for uint8: it would run on the host and copy all pixels at every step."""

    def types_on_gpu(op):
        return {
            kind
            for kernel in kernels.get_registered_kernels_for_op(op).kernel
            if kernel.device_type == "GPU" and not {"params", "input"} & set(kernel.host_memory_arg)
            for constraint in kernel.constraint
            if constraint.name in ("Tparams", "T")
            for kind in constraint.allowed_values.list.type
        }

    if not types_on_gpu("GatherV2"):
        pytest.skip("this TensorFlow was built without GPUs")
    assert tf.int64.as_datatype_enum in types_on_gpu("GatherV2")
    assert tf.uint8.as_datatype_enum not in types_on_gpu("GatherV2"), "no need to pack any more"
    assert tf.uint8.as_datatype_enum in types_on_gpu("StridedSlice")


def test_none_and_disk_hold_no_pixels_in_memory(opened):
    for kind in ("none", "disk"):
        held = [v for v in vars(opened[kind].fetch.__self__).values() if isinstance(v, np.ndarray)]
        assert sum(array.nbytes for array in held) < PIXELS / 100


@pytest.mark.parametrize("kind", KINDS)
def test_shards_that_changed_places_are_refused(copy, kind):
    """TFDS reads them gladly; what is held out would have been trained on."""
    opened = copy()
    one, other = (Path(opened.train[index].path) for index in (1, 6))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    with pytest.raises(
        UserError, match=f"{one}: holds records of fold 1, its place is fold 0; .*verify"
    ):
        residency.open_examples(copy_of_lengths(opened), kind)


def copy_of_lengths(opened):
    """The catalog's shards; of equal lengths, so that no count tells."""
    assert len({shard.length for shard in opened.train}) == 1
    return opened.train
