"""What this machine can do at best: reading, decoding, copying; the roofs of the ladder."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import decoding, pipeline, stores
from dftk.input.shards import Shard
from dftk.perf import meter
from dftk.utils import limits

_BLOCK = 2**20  # bytes of one read
_COPY = 2**28  # bytes; far more than any cache holds
_JPEGS = 512


def measure(shards: Sequence[Shard], shape: pipeline.Shape, image_size: int) -> dict[str, float]:
    """Images per second of the bare machine, for images like these.

    Args:
      shards: whose files are read and whose images are decoded.
      shape: of the stored images.
      image_size: of the images that the network sees.

    Returns:
      "raw read" of the files' bytes and "raw read of pixels", both from storage and not from the
      page cache; "decode_jpeg" alone on all cores; "memory copy" of an image's bytes and "memory
      copy of floats", those of the network's image, on one core.
    """
    jpegs = _jpegs(shards)
    record = sum(len(jpeg) for jpeg in jpegs.numpy()) / len(jpegs)
    pixels = math.prod(shape)
    read, copy = _read_rate(shards), _copy_rate()
    return {
        "raw read": read / record,
        "raw read of pixels": read / pixels,
        "decode_jpeg": _decode_rate(jpegs),
        "memory copy": copy / pixels,
        "memory copy of floats": copy / (4 * 3 * image_size**2),
    }


def _jpegs(shards: Sequence[Shard]) -> tf.Tensor:
    found: list[tf.Tensor] = []
    for _, records in pipeline.chunks(shards, 32):
        found.append(pipeline.parse(records)["image"])
        if sum(map(len, found)) >= _JPEGS:
            break
    return tf.concat(found, 0)


def _read_rate(shards: Sequence[Shard]) -> float:
    """Bytes per second of reading whole files, one after the other, from storage."""
    total = sum(Path(shard.path).stat().st_size for shard in shards)
    buffer = bytearray(_BLOCK)

    def read() -> None:
        for shard in shards:
            with open(shard.path, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    return meter.rate(read, total, lambda: meter.forget(shard.path for shard in shards))


def _decode_rate(jpegs: tf.Tensor) -> float:
    parallel = limits.cores()
    dataset = tf.data.Dataset.from_tensor_slices(jpegs).map(
        decoding.decode_image, num_parallel_calls=parallel
    )
    dataset = dataset.prefetch(2).with_options(pipeline.options(parallel))

    def drain() -> None:
        for _ in dataset:
            pass

    return meter.rate(drain, len(jpegs))


def _copy_rate() -> float:
    """Bytes per second of one core copying from memory to memory."""
    source, target = stores.allocate(1, _COPY), stores.allocate(1, _COPY)
    source.fill(1)
    target.fill(0)
    return meter.rate(lambda: np.copyto(target, source), _COPY)
