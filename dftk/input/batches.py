"""The rows of a split in, the batches of any epoch out."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.input import pipeline

# Random numbers that one augmentation takes: flip, brightness, contrast, saturation and hue; top
# and left of a crop; blur and JPEG.
_KINDS = (5, 2, 2)
NUM_AUGMENT_RANDOMS = sum(_KINDS)

Fetch = Callable[[tf.Tensor], tf.Tensor]  # rows int64 [b] to uint8 [b, h, w, 3]


def steps_per_epoch(rows: int, batch_size: int, num_replicas: int) -> int:
    """Returns the number of global batches of an epoch.

    It is as small as batch_size allows, but no batch is smaller than the number of replicas.
    """
    return max(1, min(math.ceil(rows / batch_size), rows // num_replicas))


def plan(
    rows: int,
    batch_size: int,
    num_replicas: int,
    local_replicas: range | None = None,
    start_step: int = 0,
) -> list[np.ndarray]:
    """Cuts `rows` positions into global batches, and each of these into one part per replica.

    Batches differ by one example at most, and so do the parts. So an epoch has no small batch at
    its end, and no replica is left without an example unless there are fewer rows than replicas.
    For that, a batch may exceed a batch_size that is below twice the number of replicas.

    Args:
      rows: number of rows.
      batch_size: global batch size.
      num_replicas: replicas over all hosts.
      local_replicas: replicas whose parts are returned; all if not given.
      start_step: the batch to begin with.

    Returns:
      three arrays, one entry per part in the order of consumption: start int64, stop int64, and
      example_weight float32, one over the size of the global batch.
    """
    batches = np.array_split(np.arange(rows), steps_per_epoch(rows, batch_size, num_replicas))
    parts = [
        (batch.size, part) for batch in batches for part in np.array_split(batch, num_replicas)
    ]
    starts = np.cumsum([0] + [part.size for _, part in parts[:-1]])
    stops = starts + [part.size for _, part in parts]
    example_weights = np.array([1 / size for size, _ in parts], np.float32)
    local = local_replicas or range(num_replicas)
    return [
        column.reshape(-1, num_replicas)[start_step:, local.start : local.stop].ravel()
        for column in (starts.astype(np.int64), stops.astype(np.int64), example_weights)
    ]


def _augment_randoms(rows: int, seed: int, epoch: int) -> np.ndarray:
    """Returns float32 [rows, NUM_AUGMENT_RANDOMS] in [0, 1).

    Each kind is drawn by a key of its own, so that a new kind changes none of the others.
    """
    keyed = [np.random.default_rng([seed, epoch, key]) for key in range(1, 1 + len(_KINDS))]
    tables = [rng.random((rows, count), np.float32) for rng, count in zip(keyed, _KINDS)]
    return np.hstack(tables)


class Batcher:
    """Makes the batches of any epoch.

    Its graph is traced once, so that an epoch begins within milliseconds.

    Args:
      fetch: returns the pixels of rows.
      labels: int64 [n].
      parallel: returns how many elements to make side by side, for elements of so many images; two
        more wait ready.
    """

    def __init__(self, fetch: Fetch, labels: np.ndarray, parallel: Callable[[int], int]):
        self._fetch, self._parallel, self._n = fetch, parallel, len(labels)
        self._labels = labels.astype(np.float32)
        self._build = tf.function(self._dataset, reduce_retracing=True)

    def __call__(
        self,
        rows: np.ndarray,
        *,
        batch_size: int,
        num_replicas: int = 1,
        local_replicas: range | None = None,
        start_step: int = 0,
        shuffle: tuple[int, int] | None = None,
        images: bool = True,
    ) -> tf.data.Dataset:
        """Returns the batches of one epoch.

        Args:
          rows: int64, the rows that the epoch visits, each once.
          batch_size: global batch size.
          num_replicas: replicas over all hosts; consecutive elements are the parts of one global
            batch.
          local_replicas: replicas of this host; those of all hosts if not given.
          start_step: the global batch to begin with, for an epoch that is resumed.
          shuffle: (seed, epoch), the key of the order and of the random numbers for augmentation;
            None keeps the order and gives no random numbers.
          images: False leaves out the pixels, which the step then takes from device memory.

        Returns:
          a dataset of dicts. label: float32 [b]. index: int64 [b], the row. example_weight: float32
          [], one over the size of the global batch. With `images`, image: uint8 [b, h, w, 3]. With
          `shuffle`, augment_randoms: float32 [b, NUM_AUGMENT_RANDOMS] in [0, 1), which depend on
          the key and the row only, not on the order, the batch size or the machine.
        """
        order, tables = rows, {"label": self._labels}
        if shuffle is not None:
            seed, epoch = shuffle
            order = np.random.default_rng([seed, epoch, 0]).permutation(rows)
            tables["augment_randoms"] = _augment_randoms(self._n, seed, epoch)
        parallel = self._parallel(math.ceil(batch_size / num_replicas)) if images else 2
        parts = plan(len(rows), batch_size, num_replicas, local_replicas, start_step)
        with tf.device("CPU:0"):  # where the pipeline runs; a GPU's memory would be a detour
            order, tables, parts = tf.nest.map_structure(
                tf.constant, (order.astype(np.int64), tables, tuple(parts))
            )
            return self._build(order, tables, parts, images, parallel)

    def _dataset(
        self,
        order: tf.Tensor,
        tables: dict[str, tf.Tensor],
        parts: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        images: bool,
        parallel: int,
    ) -> tf.data.Dataset:
        def gather(start: tf.Tensor, stop: tf.Tensor, weight: tf.Tensor) -> dict[str, tf.Tensor]:
            index = order[start:stop]
            batch = {name: tf.gather(table, index) for name, table in tables.items()}
            if images:
                batch["image"] = self._fetch(index)
            return {**batch, "index": index, "example_weight": weight}

        dataset = tf.data.Dataset.from_tensor_slices(parts)
        dataset = dataset.map(gather, num_parallel_calls=parallel, deterministic=True)
        return dataset.prefetch(2).with_options(pipeline.options(parallel))
