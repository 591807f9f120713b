"""Where pixels live between epochs: in host memory, on the device, in a raw file, or nowhere."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import batches, data_errors, decoding, pipeline, raw_file, stores
from dftk.input.shards import Shard
from dftk.utils import limits
from dftk.utils.errors import UsageError, UserError

_DISK_SHARE = 0.9  # of the disk space that is free
_RAM_SHARE = 0.7  # of the memory that is free; the rest is for the model and batches in flight
_DEVICE_SHARE = 0.25  # of an accelerator's memory; activations and weights need the rest
_FLIGHT_SHARE = 0.1  # of the memory that is free, for batches being made


@dataclasses.dataclass(frozen=True)
class Residency:
    """What was chosen, and why; goes into config.json."""

    kind: str  # none, ram, device or disk
    reason: str


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of a split, in the order of their shards; row i of every array is one example.

    Pixels are fetched by row; with the same (seed, epoch) every residency gives the same batches,
    bit by bit.
    """

    shards: Sequence[Shard]
    shape: pipeline.Shape  # of every image
    labels: np.ndarray  # int64 [n], 0 real, 1 fake
    folds: np.ndarray  # int64 [n], -1 in `valid`
    filenames: np.ndarray  # object [n] of str
    resized: bool  # to `shape`, whatever size the files have
    fetch: batches.Fetch
    packed: np.ndarray | None  # int64 [n, words], for the devices to copy and `unpack`; or None
    batcher: batches.Batcher

    def translate_data_errors(self) -> contextlib.AbstractContextManager[None]:
        """Around what reads batches: a fault in the data becomes a UserError, see faults."""
        return data_errors.translate_data_errors(
            self.shards, None if self.resized else self.shape[:2]
        )

    def rows(self, folds: Sequence[int]) -> np.ndarray:
        """The rows of the given folds, int64, in order."""
        return np.flatnonzero(np.isin(self.folds, folds))

    def batches(
        self,
        rows: np.ndarray,
        *,
        batch_size: int,
        num_replicas: int = 1,
        local_replicas: range | None = None,
        start_step: int = 0,
        shuffle: tuple[int, int] | None = None,
        images: bool | None = None,
    ) -> tf.data.Dataset:
        """The batches of one epoch, see dftk.input.batches.Batcher.

        Args:
          rows, batch_size, num_replicas, local_replicas, start_step, shuffle: as there.
          images: with pixels, or without; None leaves them out if they are `packed`.
        """
        if images is None:
            images = self.packed is None
        return self.batcher(
            rows,
            batch_size=batch_size,
            num_replicas=num_replicas,
            local_replicas=local_replicas,
            start_step=start_step,
            shuffle=shuffle,
            images=images,
        )


def limit(shards: Sequence[Shard], max_examples: int | None) -> tuple[Shard, ...]:
    """Shortens every shard alike until at most `max_examples` records remain in all.

    Records were shuffled when the fold was built, so the first ones of a shard are a fair draw.

    Raises:
      UsageError: fewer examples than shards.
    """
    total = sum(shard.length for shard in shards)
    if max_examples is None or max_examples >= total:
        return tuple(shards)
    if max_examples < len(shards):
        raise UsageError(
            f"--max_examples={max_examples}: must be at least {len(shards)}, one for each shard"
        )
    lengths = np.diff([max_examples * i // len(shards) for i in range(len(shards) + 1)])
    return tuple(
        dataclasses.replace(shard, length=min(shard.length, int(length)))
        for shard, length in zip(shards, lengths)
    )


def choose(
    requested: str,
    shards: Sequence[Shard],
    *,
    size: int | None = None,
    device_memory: int | None = None,
) -> Residency:
    """Decides where pixels live, by what they take and what is free here.

    Args:
      requested: none, ram, device, disk, or auto: device memory if there is an accelerator and
        room on it, else RAM, else disk, else none.
      shards: as `Catalog.train`.
      size: both sides of the stored images, if they are resized.
      device_memory: bytes of the smallest accelerator; None without one.

    Raises:
      UserError: no room for what was requested, or a broken first record.
    """
    needed = sum(shard.length for shard in shards) * math.prod(stored_shape(shards, size))
    folder = raw_file.folder(shards, size)
    memory, disk = limits.available_memory(), limits.free_disk(folder.parents[1])
    parent = folder.parent if folder.parent.exists() else folder.parents[1]
    writable = parent.is_dir() and os.access(parent, os.W_OK)
    room = {
        # Decoded in host memory, then copied.
        "device": min(_DEVICE_SHARE * (device_memory or math.inf), _RAM_SHARE * memory),
        "ram": _RAM_SHARE * memory,
        "disk": math.inf if folder.exists() else _DISK_SHARE * disk * writable,
        "none": math.inf,
    }
    found = f"{disk / 1e9:.1f} GB free" if writable else "which cannot be written"
    found = "there from before" if folder.exists() else found
    where = {
        "device": f"of {(device_memory or memory) / 1e9:.1f} GB device memory",
        "ram": f"with {memory / 1e9:.1f} GB of memory free",
        "disk": f"in {folder}, {found}",
        "none": "decoded every epoch",
    }
    pixels = f"{needed / 1e9:.2f} GB of pixels"
    if requested != "auto":
        if needed > room[requested]:
            raise UserError(
                f"--cache={requested}: {pixels}, room for {room[requested] / 1e9:.2f} GB "
                f"{where[requested]}; try --cache=auto, --stored_size or --max_examples"
            )
        return Residency(requested, f"{pixels} {where[requested]}, as requested")
    order = ["device"] if device_memory else []
    for kind in [*order, "ram", "disk", "none"]:
        if needed <= room[kind]:
            return Residency(kind, f"{pixels} {where[kind]}")
    raise AssertionError("none has room for everything")


def open_examples(
    shards: Sequence[Shard],
    kind: str,
    *,
    size: int | None = None,
    progress: Callable[[int], None] | None = None,
    raw_root: Path | None = None,
) -> Examples:
    """Opens a split with its pixels in the given residency.

    Args:
      shards: as `Catalog.train` or `Catalog.valid`.
      kind: none, ram, device or disk.
      size: resizes every image to this, once, when it is decoded; None keeps them as they are, and
        they must be of one size.
      progress: called with the number of examples read so far.
      raw_root: where raw files lie, if not beside the shards.

    Raises:
      UserError: a broken or cut shard, an image that cannot be decoded or whose size differs from
        the first one's.
    """
    shape, packed = stored_shape(shards, size), None
    with data_errors.translate_data_errors(shards, None if size else shape[:2]):
        if kind == "none":
            store: stores.Store = stores.Records(shards, shape, size, progress)
        elif kind == "disk":
            store = raw_file.RawFile(shards, shape, size, progress, raw_root)
        elif kind == "device":
            store = memory = stores.Memory(shards, shape, size, progress, word=8)
            packed = memory.rows.view(np.int64)
        else:
            store = stores.Memory(shards, shape, size, progress)
    _require_places(shards, store.folds)
    room = _FLIGHT_SHARE * limits.available_memory()

    def parallel(images: int) -> int:
        return max(1, min(store.max_parallel, int(room / (images * math.prod(shape)))))

    return Examples(
        tuple(shards),
        shape,
        store.labels,
        store.folds,
        store.filenames,
        resized=size is not None,
        fetch=store.fetch,
        packed=packed,
        batcher=batches.Batcher(store.fetch, store.labels, parallel),
    )


def _require_places(shards: Sequence[Shard], folds: np.ndarray) -> None:
    """Raises UserError for a shard whose records are of another fold than its place."""
    for shard, found in zip(shards, np.split(folds, np.cumsum([s.length for s in shards])[:-1])):
        if (found != shard.fold).any():
            others = sorted(set(found.tolist()) - {shard.fold})
            raise UserError(
                f"{shard.path}: holds records of fold {others[0]}, its place is fold {shard.fold}; "
                "shards were swapped or edited, see python -m dftk.verify"
            )


def unpack(words: tf.Tensor, shape: pipeline.Shape) -> tf.Tensor:
    """Rows of `Examples.packed`, int64 [b, words], to uint8 [b, *shape]."""
    size = math.prod(shape)
    pixels = tf.reshape(tf.bitcast(words, tf.uint8), [-1, 8 * words.shape[1]])
    return tf.reshape(pixels[:, :size], [-1, *shape])


def stored_shape(shards: Sequence[Shard], size: int | None) -> pipeline.Shape:
    """Of the images as they are kept: the first one's, or as resized; raises as open_examples."""
    if size is not None:
        return (size, size, 3)
    with data_errors.translate_data_errors(shards[:1], None):
        _, records = next(iter(pipeline.chunks(shards[:1], 1)))
        contents = pipeline.parse(records)["image"][0]
        if tf.io.is_jpeg(contents):
            height, width, _ = tf.io.extract_jpeg_shape(contents).numpy()
        else:
            height, width, _ = decoding.decode_image(contents).shape
        return (int(height), int(width), 3)
