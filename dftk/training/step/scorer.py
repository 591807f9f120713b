"""The compiled forward pass of the detector in training: features of images, logits of features."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from dftk.input import batches
from dftk.input.residency import Examples
from dftk.models.registry import Detector
from dftk.training.devices.devices import Devices
from dftk.training.step import loop


class Scorer:
    """The compiled forward pass over a set of examples, exact to the example."""

    def __init__(self, detector: Detector, devices: Devices, pixels: loop.Pixels):
        self._detector, self._devices, self._pixels = detector, devices, pixels
        self._features = loop.compiled(detector.features, devices)
        self.run = tf.function(self._run, reduce_retracing=True)
        spec = tf.TensorSpec([None, detector.width], tf.float32)
        self._head = tf.function(self._logits, input_signature=[spec])  # any number, one trace

    def _run(self, iterator: Iterator[loop.Batch], mirror: bool) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = (next(iterator), self._pixels.resident)
        return self._devices.strategy.run(functools.partial(self._forward, mirror), inputs)

    def _forward(
        self, mirror: bool, batch: loop.Batch, resident: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        unit = self._detector.unit_image(self._pixels(batch, resident))
        views = [unit, unit[:, :, ::-1]] if mirror else [unit]
        return batch["index"], tf.stack([self._features(v, training=False) for v in views], 1)

    def _logits(self, features: tf.Tensor) -> tf.Tensor:
        return self._detector.head(features, training=False)[:, 0]

    def features(
        self,
        examples: Examples,
        rows: np.ndarray,
        batch_size: int,
        between: Callable[[], None] = lambda: None,
    ) -> np.ndarray:
        """What the head sees of the given rows, float32 [len(rows), width]; see `views`."""
        return np.concatenate(
            [found[:, 0] for found in self.views(examples, rows, batch_size, between)]
        )

    def views(
        self,
        examples: Examples,
        rows: np.ndarray,
        batch_size: int,
        between: Callable[[], None] = lambda: None,
        mirror: bool = False,
        first: int = 0,
    ) -> Iterator[np.ndarray]:
        """What the head sees of the given rows, a batch after the other, in their order.

        Every worker makes its part and gets the whole.

        Args:
          examples: rows of which are wanted.
          rows: int64, each once.
          batch_size: global.
          between: called before each batch.
          mirror: of the mirror images, too.
          first: the batch to begin with.

        Yields:
          float32 [b, 1, width], or [b, 2, width] with `mirror`.
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
        place = np.zeros(len(examples.labels), np.int64)
        place[rows] = np.arange(len(rows))
        seen = np.zeros(len(rows), np.float32)
        steps = batches.steps_per_epoch(len(rows), batch_size, devices.replicas)
        whole = np.array_split(np.arange(len(rows)), steps)
        for batch in whole[first:]:
            between()
            index, features = self.run(iterator, mirror)
            found = np.zeros((len(batch), 1 + mirror, self._detector.width), np.float32)
            local = devices.strategy.experimental_local_results
            for part, values in zip(local(index), local(features)):
                here = place[part.numpy()]
                found[here - batch[0]] = values.numpy()
                seen[here] += 1
            yield devices.sum_over_workers(found)
        wanted = np.arange(len(rows)) >= sum(map(len, whole[:first]))
        assert (devices.sum_over_workers(seen) == wanted).all(), "every row is looked at once"

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits of features, float32 [n], by the head as it is now."""
        return self._head(tf.constant(features)).numpy()
