"""Where pixels live between epochs: in host memory, on the device, in a raw file, or nowhere.

The errors of `choose_residency` and `limit_examples` name the flags of dftk's commands.
"""

import contextlib
import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import data_errors, pipeline, raw_file, stores
from dftk.input.batches import Batcher, Fetch
from dftk.input.pipeline import ImageRecords
from dftk.input.shards import Shard
from dftk.utils import limits
from dftk.utils.errors import UsageError, UserError

_DISK_SHARE = 0.9  # of the free disk space
_RAM_SHARE = 0.7  # of the free memory; the model and the batches being made need the rest
_DEVICE_SHARE = 0.25  # of an accelerator's memory; activations and weights need the rest
_BATCHES_SHARE = 0.1  # of the free memory, for batches being made
_WORD_BYTES = 8  # of the int64 words that devices gather; see Examples.pixel_words


@dataclasses.dataclass(frozen=True)
class Residency:
    """Where pixels live, and why; goes into config.json."""

    kind: str  # none, ram, device or disk
    reason: str


class NoRoomError(UserError):
    """The pixels do not fit into the residency that was requested. The text is one line.

    Attributes:
      requested: kind of residency.
      needed_bytes: size of the pixels.
      room_bytes: that they may take there.
      available: what was found there, in words.
    """

    def __init__(self, requested: str, needed_bytes: int, room_bytes: float, available: str):
        super().__init__(requested, needed_bytes, room_bytes, available)
        self.requested, self.available = requested, available
        self.needed_bytes, self.room_bytes = needed_bytes, room_bytes

    def __str__(self) -> str:
        return (
            f"--cache={self.requested}: {_pixels(self.needed_bytes)}, room for "
            f"{self.room_bytes / 1e9:.2f} GB {self.available}; "
            "try --cache=auto, --stored_size or --max_examples"
        )


class Examples:
    """The examples of a split, in the order of their shards; row i of every array is one example.

    With the same (seed, epoch), every residency gives the same batches, bit by bit.

    Args:
      records: that were read.
      store: of their pixels.
      pixel_words: see the attribute.

    Attributes:
      shards: tuple of Shard.
      shape: of every image.
      labels: int64 [n], 0 real, 1 fake.
      folds: int64 [n], -1 in `valid`.
      filenames: object [n] of str.
      fetch: returns the pixels of rows.
      pixel_words: int64 [n, words] in device residency, all pixels, for the devices to copy and for
        `words_to_pixels` to unpack; else None.
      batches: makes the batches of an epoch, without images if there are `pixel_words`.
    """

    def __init__(
        self, records: ImageRecords, store: stores.Store, pixel_words: np.ndarray | None = None
    ):
        self._records = records
        self.shards, self.shape = records.shards, records.shape
        self.labels, self.folds, self.filenames = store.labels, store.folds, store.filenames
        self.fetch: Fetch = store.fetch
        self.pixel_words = pixel_words
        self.batches = Batcher(
            store.fetch,
            store.labels,
            max_parallel=store.max_parallel,
            max_images=int(_BATCHES_SHARE * limits.available_memory() / records.image_bytes),
            images=pixel_words is None,
        )

    def translate_data_errors(self) -> contextlib.AbstractContextManager[None]:
        """Turns errors over bad data in the block, which reads batches, into one DataError."""
        return self._records.translate_data_errors()

    def rows(self, folds: Sequence[int]) -> np.ndarray:
        """Returns the rows of the given folds, int64, in order."""
        return np.flatnonzero(np.isin(self.folds, folds))


def limit_examples(shards: Sequence[Shard], max_examples: int | None) -> tuple[Shard, ...]:
    """Shortens all shards alike, so that at most `max_examples` records remain in all.

    Records were shuffled when the fold was built, so the first ones of a shard are a fair sample.

    >>> shards = [Shard("a.tfrecord", length=20, fold=0), Shard("b.tfrecord", length=20, fold=1)]
    >>> [shard.length for shard in limit_examples(shards, 5)]
    [2, 3]

    Raises:
      UsageError: fewer examples than shards.
    """
    total = sum(shard.length for shard in shards)
    if max_examples is None or max_examples >= total:
        return tuple(shards)
    if max_examples < len(shards):
        raise UsageError(
            f"--max_examples={max_examples}: must be at least {len(shards)}, one for each shard",
            flags=["max_examples"],
        )
    lengths = np.diff([max_examples * i // len(shards) for i in range(len(shards) + 1)])
    return tuple(
        dataclasses.replace(shard, length=min(shard.length, int(length)))
        for shard, length in zip(shards, lengths)
    )


def choose_residency(
    requested: str,
    shards: Sequence[Shard],
    *,
    size: int | None = None,
    device_memory: int | None = None,
) -> Residency:
    """Decides where pixels live, by their size and what is free here.

    Args:
      requested: none, ram, device, disk, or auto: device memory if there is an accelerator and
        room on it, else RAM, else disk, else none.
      shards: whose pixels are stored.
      size: see open_examples.
      device_memory: bytes of the smallest accelerator; None without one.

    Raises:
      NoRoomError: there is no room for what was requested.
      DataError: the first record cannot be read.
    """
    records = pipeline.open_records(shards, size)
    needed = records.count * records.image_bytes
    folder = raw_file.cache_path(shards, size)
    memory, disk = limits.available_memory(), limits.free_disk(folder.parents[1])
    parent = folder.parent if folder.parent.exists() else folder.parents[1]
    writable = parent.is_dir() and os.access(parent, os.W_OK)
    room = {
        # Images are decoded in host memory and then copied.
        "device": min(_DEVICE_SHARE * (device_memory or math.inf), _RAM_SHARE * memory),
        "ram": _RAM_SHARE * memory,
        "disk": math.inf if folder.exists() else _DISK_SHARE * disk * writable,
        "none": math.inf,
    }
    found = f"{disk / 1e9:.1f} GB free" if writable else "which cannot be written"
    found = "there from before" if folder.exists() else found
    available = {
        "device": f"of {(device_memory or memory) / 1e9:.1f} GB device memory",
        "ram": f"with {memory / 1e9:.1f} GB of memory free",
        "disk": f"in {folder}, {found}",
        "none": "decoded every epoch",
    }
    if requested != "auto":
        if needed > room[requested]:
            raise NoRoomError(requested, needed, room[requested], available[requested])
        return Residency(requested, f"{_pixels(needed)} {available[requested]}, as requested")
    order = ["device"] if device_memory else []
    for kind in [*order, "ram", "disk", "none"]:
        if needed <= room[kind]:
            return Residency(kind, f"{_pixels(needed)} {available[kind]}")
    raise AssertionError("there is always room for none")


def open_examples(
    shards: Sequence[Shard],
    kind: str,
    *,
    size: int | None = None,
    progress: stores.Progress = None,
    raw_root: Path | None = None,
) -> Examples:
    """Opens a split with its pixels in the given residency.

    Args:
      shards: of the split.
      kind: of residency: none, ram, device or disk.
      size: both sides to which every image is resized, once, when it is decoded. None keeps the
        images as they are; they must be of one size.
      progress: called with the number of examples read so far.
      raw_root: the folder above raw files, if not beside the shards.

    Raises:
      DataError: a broken or cut shard, a shard of another fold, or an image that cannot be decoded
        or whose size differs from the first one's.
      CacheError: the raw file cannot be written.
    """
    records, pixel_words = pipeline.open_records(shards, size), None
    with records.translate_data_errors():
        if kind == "none":
            store: stores.Store = stores.RecordStore(records, progress)
        elif kind == "disk":
            store = raw_file.RawFileStore(records, progress, raw_root)
        elif kind == "device":
            store = memory = stores.MemoryStore(records, progress, _WORD_BYTES)
            pixel_words = memory.pixels.view(np.int64)
        else:
            store = stores.MemoryStore(records, progress)
    data_errors.require_folds(shards, store.folds)
    return Examples(records, store, pixel_words)


def words_to_pixels(words: tf.Tensor, shape: pipeline.Shape) -> tf.Tensor:
    """Unpacks rows of `Examples.pixel_words`, int64 [b, words], to uint8 [b, *shape]."""
    size = math.prod(shape)
    pixels = tf.reshape(tf.bitcast(words, tf.uint8), [-1, _WORD_BYTES * words.shape[1]])
    return tf.reshape(pixels[:, :size], [-1, *shape])


def _pixels(size: int) -> str:
    return f"{size / 1e9:.2f} GB of pixels"
