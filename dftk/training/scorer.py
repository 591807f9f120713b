"""The compiled forward pass of the detector in training: features of images, logits of features."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from dftk.data import batches
from dftk.data.residency import Examples
from dftk.models.registry import Detector
from dftk.training import loop
from dftk.training.devices import Devices


class Scorer:
    """The compiled forward pass over a set of examples, exact to the example."""

    def __init__(self, detector: Detector, devices: Devices, pixels: loop.Pixels):
        self._detector, self._devices, self._pixels = detector, devices, pixels
        self._features = loop.compiled(detector.features, devices)
        self.run = tf.function(self._run, reduce_retracing=True)
        self._head = tf.function(self._logits, reduce_retracing=True)

    def _run(self, iterator: Iterator[loop.Batch], mirrored: bool) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = (next(iterator), self._pixels.resident)
        return self._devices.strategy.run(functools.partial(self._forward, mirrored), inputs)

    def _forward(
        self, mirrored: bool, batch: loop.Batch, resident: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        unit = self._detector.unit_image(self._pixels(batch, resident))
        if mirrored:
            unit = unit[:, :, ::-1]
        return batch["index"], self._features(unit, training=False)

    def _logits(self, features: tf.Tensor) -> tf.Tensor:
        return self._detector.head(features, training=False)[:, 0]

    def features(
        self,
        examples: Examples,
        rows: np.ndarray,
        batch_size: int,
        between: Callable[[], None] = lambda: None,
        mirrored: bool = False,
    ) -> np.ndarray:
        """What the head sees of the given rows, float32 [len(rows), width].

        Every worker makes its part and gets the whole. `between` is called before each batch;
        `mirrored` swaps left and right.
        """
        devices = self._devices
        batch_size = max(batch_size, devices.replicas)
        dataset = examples.batches(
            rows, batch_size=batch_size, parts=devices.replicas, mine=devices.local
        )
        result = np.zeros((len(rows), self._detector.width), np.float32)
        seen = np.zeros(len(rows), np.float32)
        place = np.zeros(len(examples.labels), np.int64)
        place[rows] = np.arange(len(rows))
        iterator = loop.distribute(devices, dataset)
        for _ in range(batches.steps_per_epoch(len(rows), batch_size, devices.replicas)):
            between()
            index, features = self.run(iterator, mirrored)
            local = devices.strategy.experimental_local_results
            for positions, values in zip(local(index), local(features)):
                result[place[positions.numpy()]] = values.numpy()
                seen[place[positions.numpy()]] += 1
        result, seen = devices.sum_over_workers(result), devices.sum_over_workers(seen)
        assert (seen == 1).all(), "every row is looked at once"
        return result

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits of features, float32 [n], by the head as it is now."""
        return self._head(tf.constant(features)).numpy()
