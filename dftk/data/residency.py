"""Where pixels live between epochs: decoded once into host memory, shared by all folds."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.config import UsageError, UserError
from dftk.data import pipeline
from dftk.data.catalog import Shard

_CHUNK = 64  # images copied at a time
_CGROUPS = Path("/sys/fs/cgroup")


@dataclasses.dataclass(frozen=True)
class Examples:
    """Decoded examples, in the order of their shards; row i of every array is one example."""

    images: tf.Tensor  # uint8 [n, h, w, 3], on the host
    labels: np.ndarray  # int64 [n], 0 real, 1 fake
    folds: np.ndarray  # int64 [n], -1 in `valid`
    filenames: np.ndarray  # object [n] of str

    def rows(self, folds: Sequence[int]) -> np.ndarray:
        """The rows of the given folds, int64, in order."""
        return np.flatnonzero(np.isin(self.folds, folds))


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


def load(shards: Sequence[Shard], progress: Callable[[int], None] | None = None) -> Examples:
    """Decodes the shards into memory, each JPEG once.

    Args:
      shards: as `Catalog.train` or `Catalog.valid`.
      progress: called with the number of examples decoded so far.

    Raises:
      UserError: a broken or cut shard, an image that cannot be decoded or whose size differs from
        the first one's, or not enough memory.
    """
    total = sum(shard.length for shard in shards)
    height, width, _ = _first_shape(shards)
    _check_memory(total * height * width * 3, total)
    images = _allocate(total, height, width)
    small: dict[str, list[np.ndarray]] = {"label": [], "fold": [], "filename": []}
    done = 0
    try:
        for batch in pipeline.decoded(shards).batch(_CHUNK):
            size = len(batch["label"])
            images[done : done + size] = batch["image"]
            for name, column in small.items():
                column.append(batch[name].numpy())
            done += size
            if progress:
                progress(done)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise UserError(_diagnose(shards, (height, width)) or error.message) from error
    if done != total:
        raise UserError(_diagnose(shards, (height, width)) or f"{done} records of {total}")
    label, fold, filename = (np.concatenate(column) for column in small.values())
    # Shared, not copied: filling an array and handing it over takes the memory once; slices of a
    # tf.Variable are fourteen times slower to write, tf.constant holds everything twice.
    tensor = tf.experimental.dlpack.from_dlpack(images.__dlpack__())
    return Examples(tensor, label, fold, np.array([name.decode() for name in filename], object))


def _allocate(count: int, height: int, width: int) -> np.ndarray:
    """An empty uint8 array [count, height, width, 3] at an address that TensorFlow can share."""
    size, alignment = count * height * width * 3, 64  # bytes; Eigen's widest vectors
    memory = np.empty(size + alignment, np.uint8)
    offset = -memory.ctypes.data % alignment
    return memory[offset : offset + size].reshape(count, height, width, 3)


def _first_shape(shards: Sequence[Shard]) -> tuple[int, int, int]:
    try:
        record = next(iter(pipeline.records(shards[:1]).take(1)))
        return tuple(pipeline.decode_jpeg(pipeline.parse(record)["image"]).shape)
    except (StopIteration, tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise UserError(_diagnose(shards[:1], None) or str(error)) from error


def _diagnose(shards: Sequence[Shard], size: tuple[int, int] | None) -> str:
    """Reads once more, record by record, for the shard or the image that stopped a load.

    Returns:
      what is wrong and what to do, or "" if this reading finds nothing.
    """
    for shard in shards:
        found = 0
        try:
            for record in tf.data.TFRecordDataset(shard.path).take(shard.length):
                found += 1
                if trouble := _diagnose_image(record.numpy(), size):
                    return f"{trouble}; remove it and build the dataset again with --overwrite"
        except tf.errors.DataLossError:
            return f"{shard.path}: corrupt after {found} records; build it again with --overwrite"
        if found != shard.length:
            return (
                f"{shard.path}: {found} records, its metadata says {shard.length}; build the "
                "dataset again with --overwrite"
            )
    return ""


def _diagnose_image(record: bytes, size: tuple[int, int] | None) -> str:
    features = tf.train.Example.FromString(record).features.feature
    filename = features["filename"].bytes_list.value[0].decode()
    try:
        shape = tuple(pipeline.decode_jpeg(features["image"].bytes_list.value[0]).shape)
    except tf.errors.InvalidArgumentError:
        return f"{filename}: not a readable JPEG"
    if size is not None and shape[:2] != size:
        return f"{filename}: {shape[1]}x{shape[0]} pixels, the others {size[1]}x{size[0]}"
    return ""


def _check_memory(needed: int, images: int) -> None:
    available = available_memory()
    if needed > 0.8 * available:  # the rest is for the model and the batches in flight
        raise UserError(
            f"{images} decoded images take {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB of "
            f"memory are free here; set --max_examples={int(images * 0.8 * available / needed)} "
            "or less"
        )


def available_memory() -> int:
    """Bytes this process may still take: the kernel's estimate, or its cgroups' rest if smaller."""
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    limits = [int(meminfo["MemAvailable"].split()[0]) * 1024]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):  # version 2, or the memory tree of version 1
            top = _CGROUPS / controllers
            for folder in {top, top / path.lstrip("/")}:
                limits += _cgroup_rest(folder)
    return min(limits)


def _cgroup_rest(folder: Path) -> list[int]:
    """What a cgroup's limit leaves, page cache that the kernel would give back not counted."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        if (folder / limit).is_file() and (text := (folder / limit).read_text().strip()) != "max":
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return [int(text) - int((folder / used).read_text()) + int(stat.get(cache, 0))]
    return []
