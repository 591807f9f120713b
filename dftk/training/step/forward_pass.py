"""The compiled forward pass in training: features of images, and logits of features."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from dftk.input import batches
from dftk.input.residency import Examples
from dftk.models.registry import Detector
from dftk.training.devices.devices import Devices
from dftk.training.step import loop


class ForwardPass:
    """Computes features and logits of examples, each exactly once, whatever the devices.

    Args:
      detector: built in the scope of the devices' strategy.
      devices: that compute.
      images: of the examples.
    """

    def __init__(self, detector: Detector, devices: Devices, images: loop.BatchImages):
        self._detector, self._devices, self._images = detector, devices, images
        self._features = loop.compile_features(detector, devices)
        self.run = tf.function(self._run, reduce_retracing=True)
        spec = tf.TensorSpec([None, detector.width], tf.float32)
        self._head = tf.function(self._logits, input_signature=[spec])  # any number, one trace

    def _run(self, iterator: Iterator[loop.Batch], flipped: bool) -> tuple[tf.Tensor, tf.Tensor]:
        replica_step = functools.partial(self._step, flipped)
        return self._devices.strategy.run(replica_step, (next(iterator), self._images.resident))

    def _step(
        self, flipped: bool, batch: loop.Batch, resident: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns one replica's indices, int64 [b], and features, float32 [b, views, width]."""
        unit = self._detector.unit_image(self._images(batch, resident))
        views = [unit, unit[:, :, ::-1]] if flipped else [unit]
        return batch["index"], tf.stack([self._features(v, training=False) for v in views], 1)

    def _logits(self, features: tf.Tensor) -> tf.Tensor:
        return self._detector.head(features, training=False)[:, 0]

    def features(
        self,
        examples: Examples,
        rows: np.ndarray,
        batch_size: int,
        before_batch: Callable[[], None] = lambda: None,
    ) -> np.ndarray:
        """Returns the features of all rows, float32 [len(rows), width]; see feature_batches."""
        found = self.feature_batches(examples, rows, batch_size, before_batch)
        return np.concatenate([features[:, 0] for features in found])

    def feature_batches(
        self,
        examples: Examples,
        rows: np.ndarray,
        batch_size: int,
        before_batch: Callable[[], None] = lambda: None,
        *,
        flipped: bool = False,
        first: int = 0,
    ) -> Iterator[np.ndarray]:
        """Yields what the head sees of rows, batch by batch, in the order of the rows.

        Every worker computes its part and gets the whole.

        Args:
          examples: the rows are of these.
          rows: int64, each once.
          batch_size: global.
          before_batch: called before each batch.
          flipped: also of the images with left and right swapped.
          first: index of the batch to begin with.

        Yields:
          float32 [b, 1, width], or [b, 2, width] with `flipped`.
        """
        devices = self._devices
        batch_size = max(batch_size, devices.replicas)
        dataset = examples.batches(
            rows,
            batch_size=batch_size,
            num_replicas=devices.replicas,
            local_replicas=devices.local,
            start_step=first,
        )
        iterator = loop.distribute(devices, dataset)
        position_of_row = np.zeros(len(examples.labels), np.int64)
        position_of_row[rows] = np.arange(len(rows))
        times_seen = np.zeros(len(rows), np.float32)
        steps = batches.steps_per_epoch(len(rows), batch_size, devices.replicas)
        positions_by_step = np.array_split(np.arange(len(rows)), steps)
        for positions in positions_by_step[first:]:
            before_batch()
            index, features = self.run(iterator, flipped)
            found = np.zeros((len(positions), 1 + flipped, self._detector.width), np.float32)
            local = devices.strategy.experimental_local_results
            for replica_index, replica_features in zip(local(index), local(features)):
                here = position_of_row[replica_index.numpy()]
                found[here - positions[0]] = replica_features.numpy()
                times_seen[here] += 1
            yield devices.sum_over_workers(found)
        expected = np.arange(len(rows)) >= sum(map(len, positions_by_step[:first]))
        assert (devices.sum_over_workers(times_seen) == expected).all(), "each row exactly once"

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns the logits of features, float32 [n], by the head as it is now."""
        return self._head(tf.constant(features)).numpy()
