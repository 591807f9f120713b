"""What this machine can do at best: reading, decoding and copying, without a pipeline around it."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import decoding, pipeline, stores
from dftk.input.shards import Shard
from dftk.perf import timing
from dftk.utils import limits

_BLOCK = 2**20  # bytes of one read
_COPY = 2**28  # bytes of one copy; far more than any processor cache holds
_JPEGS = 512  # images to decode


def measure(shards: Sequence[Shard], shape: pipeline.Shape, image_size: int) -> dict[str, float]:
    """Measures the ceilings, for images like these.

    Args:
      shards: whose files are read and whose images are decoded.
      shape: of the stored images.
      image_size: of the images that the network sees.

    Returns:
      images per second by name. "raw read" reads the files' bytes, and "raw read of pixels" as
      many bytes as decoded images have; both read from storage, not from the page cache.
      "decode_jpeg" decodes alone, on all cores. "memory copy" copies an image's bytes on one core,
      and "memory copy of floats" the float32 image that the network sees.
    """
    jpegs = _jpegs(shards)
    jpeg_bytes = sum(len(jpeg) for jpeg in jpegs.numpy()) / len(jpegs)
    pixel_bytes = math.prod(shape)
    read, copy = _read_rate(shards), _copy_rate()
    return {
        "raw read": read / jpeg_bytes,
        "raw read of pixels": read / pixel_bytes,
        "decode_jpeg": _decode_rate(jpegs),
        "memory copy": copy / pixel_bytes,
        "memory copy of floats": copy / (4 * 3 * image_size**2),
    }


def _jpegs(shards: Sequence[Shard]) -> tf.Tensor:
    """Returns the first JPEGs of the shards, string [n]."""
    found: list[tf.Tensor] = []
    for _, records in pipeline.chunks(shards, 32):
        found.append(pipeline.parse(records)["image"])
        if sum(map(len, found)) >= _JPEGS:
            break
    return tf.concat(found, 0)


def _read_rate(shards: Sequence[Shard]) -> float:
    """Returns bytes per second of reading whole files from storage, one after the other."""
    total = sum(Path(shard.path).stat().st_size for shard in shards)
    buffer = bytearray(_BLOCK)

    def read() -> None:
        for shard in shards:
            with open(shard.path, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    return timing.rate(
        read, total, lambda: timing.drop_from_page_cache(shard.path for shard in shards)
    )


def _decode_rate(jpegs: tf.Tensor) -> float:
    """Returns images per second of decode_jpeg on all cores."""
    parallel = limits.cores()
    dataset = tf.data.Dataset.from_tensor_slices(jpegs).map(
        decoding.decode_image, num_parallel_calls=parallel
    )
    dataset = dataset.prefetch(2).with_options(pipeline.options(parallel))

    def drain() -> None:
        for _ in dataset:
            pass

    return timing.rate(drain, len(jpegs))


def _copy_rate() -> float:
    """Returns bytes per second of one core that copies from memory to memory."""
    source, target = stores.allocate(1, _COPY), stores.allocate(1, _COPY)
    source.fill(1)
    target.fill(0)
    return timing.rate(lambda: np.copyto(target, source), _COPY)
