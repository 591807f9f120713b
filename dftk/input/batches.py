"""From the rows of a split to the batches of any epoch."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.input import pipeline

# Random numbers of one augmentation: flip, brightness, contrast, saturation, hue; top and left;
# blur, JPEG.
_KINDS = (5, 2, 2)
DRAWS = sum(_KINDS)

Fetch = Callable[[tf.Tensor], tf.Tensor]  # rows int64 [b] to uint8 [b, h, w, 3]


def steps_per_epoch(rows: int, batch_size: int, parts: int) -> int:
    """Number of global batches: as few as batch_size allows, but none smaller than `parts`."""
    return max(1, min(math.ceil(rows / batch_size), rows // parts))


def plan(
    rows: int, batch_size: int, parts: int, mine: range | None = None, first: int = 0
) -> list[np.ndarray]:
    """Cuts `rows` positions into batches, and each batch into one part per replica.

    Batches differ by one example at most, and so do the parts: an epoch has no runt at its end,
    and no replica is left without an example (unless there are fewer rows than replicas). For that
    a batch may exceed a batch_size that is below twice the number of replicas.

    Args:
      rows: their number.
      batch_size: global.
      parts: replicas.
      mine: of the parts of a batch, those to return; all if not given.
      first: the batch to begin with.

    Returns:
      three arrays, one entry per part in the order of consumption: start int64, stop int64, and
      share float32, one over the size of the global batch.
    """
    batches = np.array_split(np.arange(rows), steps_per_epoch(rows, batch_size, parts))
    cuts = [(batch.size, part) for batch in batches for part in np.array_split(batch, parts)]
    starts = np.cumsum([0] + [part.size for _, part in cuts[:-1]])
    stops = starts + [part.size for _, part in cuts]
    shares = np.array([1 / size for size, _ in cuts], np.float32)
    mine = mine or range(parts)
    return [
        column.reshape(-1, parts)[first:, mine.start : mine.stop].ravel()
        for column in (starts.astype(np.int64), stops.astype(np.int64), shares)
    ]


def _draws(rows: int, seed: int, epoch: int) -> np.ndarray:
    """float32 [rows, DRAWS]; each kind has a key of its own: a new one moves none of the others."""
    keyed = [np.random.default_rng([seed, epoch, key]) for key in range(1, 1 + len(_KINDS))]
    tables = [rng.random((rows, count), np.float32) for rng, count in zip(keyed, _KINDS)]
    return np.hstack(tables)


class Batcher:
    """Makes the batches of any epoch; traced once, so that an epoch begins within milliseconds.

    Args:
      fetch: gives the pixels of rows.
      labels: int64 [n].
      parallel: how many elements to make side by side, by the number of images in one; two more
        wait ready.
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
        parts: int = 1,
        mine: range | None = None,
        first: int = 0,
        shuffle: tuple[int, int] | None = None,
        images: bool = True,
    ) -> tf.data.Dataset:
        """The batches of one epoch.

        Args:
          rows: int64, the rows that the epoch visits, each once.
          batch_size: global batch size.
          parts: replicas; consecutive elements are the parts of one global batch.
          mine: the replicas whose parts are wanted, where other workers take the rest.
          first: the batch to begin with, where an epoch goes on.
          shuffle: (seed, epoch), the key of the order and of the augmentation's random numbers;
            None keeps the order and draws nothing.
          images: False where the step takes them from its device's memory.

        Returns:
          a dataset of dicts: label float32 [b]; index int64 [b], the row; share float32 [], one
          over the global batch's size; with `images` also image uint8 [b, h, w, 3]; with `shuffle`
          also draws float32 [b, DRAWS] in [0, 1), the same for a row whatever the order, batch or
          machine.
        """
        order, draws = rows, {}
        if shuffle is not None:
            seed, epoch = shuffle
            order = np.random.default_rng([seed, epoch, 0]).permutation(rows)
            draws = {"draws": _draws(self._n, seed, epoch)}
        parallel = self._parallel(math.ceil(batch_size / parts)) if images else 2
        cuts = plan(len(rows), batch_size, parts, mine, first)
        with tf.device("CPU:0"):  # where the pipeline runs; a GPU's memory would be a detour
            tables, cuts, order = tf.nest.map_structure(
                tf.constant, ({"label": self._labels, **draws}, tuple(cuts), order.astype(np.int64))
            )
            return self._build(order, tables, cuts, images, parallel)

    def _dataset(
        self,
        order: tf.Tensor,
        tables: dict[str, tf.Tensor],
        cuts: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        images: bool,
        parallel: int,
    ) -> tf.data.Dataset:
        def gather(start: tf.Tensor, stop: tf.Tensor, share: tf.Tensor) -> dict[str, tf.Tensor]:
            index = order[start:stop]
            batch = {name: tf.gather(table, index) for name, table in tables.items()}
            if images:
                batch["image"] = self._fetch(index)
            return {**batch, "index": index, "share": share}

        dataset = tf.data.Dataset.from_tensor_slices(cuts)
        dataset = dataset.map(gather, num_parallel_calls=parallel, deterministic=True)
        return dataset.prefetch(2).with_options(pipeline.options(parallel))
