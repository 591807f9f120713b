"""Makes the batches of any epoch of the rows of a split."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.input import pipeline

# Random numbers that augmenting an image takes, by random stream: flip, brightness, contrast,
# saturation and hue; top and left of a crop; blur and JPEG.
_STREAMS = (5, 2, 2)
NUM_AUGMENT_RANDOMS = sum(_STREAMS)

Fetch = Callable[[tf.Tensor], tf.Tensor]  # from rows, int64 [b], to their pixels or features


def steps_per_epoch(rows: int, batch_size: int, num_replicas: int) -> int:
    """Returns the number of global batches of an epoch.

    The number is the smallest that batch_size allows. But no batch has fewer examples than there
    are replicas.

    >>> steps_per_epoch(rows=101, batch_size=10, num_replicas=4)
    11
    """
    return max(1, min(math.ceil(rows / batch_size), rows // num_replicas))


def plan(
    rows: int,
    batch_size: int,
    num_replicas: int,
    local_replicas: range | None = None,
    start_step: int = 0,
) -> list[np.ndarray]:
    """Cuts `rows` positions into global batches, and each global batch into one part per replica.

    The sizes of batches differ by one example at most, and so do the sizes of parts. So an epoch
    does not end on a small batch. No replica is without an example unless there are fewer rows than
    replicas. To that end, batches may be larger than a batch_size that is below twice the number of
    replicas.

    Args:
      rows: number of rows.
      batch_size: global batch size.
      num_replicas: replicas over all hosts.
      local_replicas: replicas whose parts are returned; all if not given.
      start_step: the first batch that is returned.

    Returns:
      three arrays with one entry for each part, in the order of consumption: start int64, stop
      int64, and example_weight float32, which is one over the size of the global batch.

    >>> starts, stops, weights = plan(rows=6, batch_size=4, num_replicas=2)
    >>> list(zip(starts.tolist(), stops.tolist()))
    [(0, 2), (2, 3), (3, 5), (5, 6)]
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

    Each stream has a key of its own, so that a new stream changes none of the others.
    """
    streams = [
        np.random.default_rng([seed, epoch, key]).random((rows, count), np.float32)
        for key, count in enumerate(_STREAMS, 1)
    ]
    return np.hstack(streams)


class Batcher:
    """Makes the batches of any epoch.

    The graph is traced once, so that an epoch begins within milliseconds.

    Args:
      fetch: returns the pixels of rows.
      labels: int64 [n].
      max_parallel: elements that are made side by side at most. Two more are kept ready.
      max_images: images in these elements at most, to bound their memory; one element is always
        made.
      images: whether batches hold pixels, unless a call says otherwise.
    """

    def __init__(
        self,
        fetch: Fetch,
        labels: np.ndarray,
        *,
        max_parallel: int,
        max_images: int | None = None,
        images: bool = True,
    ):
        self._fetch, self._n = fetch, len(labels)
        self._max_parallel, self._max_images, self._images = max_parallel, max_images, images
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
        images: bool | None = None,
    ) -> tf.data.Dataset:
        """Returns the batches of one epoch.

        Args:
          rows: int64, the rows that the epoch visits, each once.
          batch_size: global batch size.
          num_replicas: replicas over all hosts. Consecutive elements are the parts of one global
            batch.
          local_replicas: replicas of this host; those of all hosts if not given.
          start_step: the first global batch, for an epoch that is resumed.
          shuffle: (seed, epoch), the key of the order and of the random numbers for augmentation.
            None keeps the order and gives no random numbers.
          images: whether batches hold pixels. Without them, the training step takes the pixels
            from device memory. None leaves it to the constructor's `images`.

        Returns:
          a dataset of dicts. label: float32 [b]. index: int64 [b], the row. example_weight: float32
          [], one over the size of the global batch. With `images`, image: uint8 [b, h, w, 3]. With
          `shuffle`, augment_randoms: float32 [b, NUM_AUGMENT_RANDOMS] in [0, 1). They depend on the
          key and the row only, not on the order, the batch size or the machine.
        """
        images = self._images if images is None else images
        order, columns = rows, {"label": self._labels}
        if shuffle is not None:
            seed, epoch = shuffle
            order = np.random.default_rng([seed, epoch, 0]).permutation(rows)
            columns["augment_randoms"] = _augment_randoms(self._n, seed, epoch)
        parallel = self._parallel(math.ceil(batch_size / num_replicas)) if images else 2
        parts = plan(len(rows), batch_size, num_replicas, local_replicas, start_step)
        with tf.device("CPU:0"):  # the pipeline runs there; without this, a GPU would get the data
            order, columns, parts = tf.nest.map_structure(
                tf.constant, (order.astype(np.int64), columns, tuple(parts))
            )
            return self._build(order, columns, parts, images, parallel)

    def _parallel(self, images: int) -> int:
        """Returns how many elements of so many images to make side by side."""
        if self._max_images is None:
            return self._max_parallel
        return max(1, min(self._max_parallel, self._max_images // images))

    def _dataset(
        self,
        order: tf.Tensor,
        columns: dict[str, tf.Tensor],
        parts: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        images: bool,
        parallel: int,
    ) -> tf.data.Dataset:
        def gather(start: tf.Tensor, stop: tf.Tensor, weight: tf.Tensor) -> dict[str, tf.Tensor]:
            index = order[start:stop]
            batch = {name: tf.gather(column, index) for name, column in columns.items()}
            if images:
                batch["image"] = self._fetch(index)
            return {**batch, "index": index, "example_weight": weight}

        dataset = tf.data.Dataset.from_tensor_slices(parts)
        dataset = dataset.map(gather, num_parallel_calls=parallel, deterministic=True)
        return dataset.prefetch(2).with_options(pipeline.options(parallel))
