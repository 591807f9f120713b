"""The ladder's stages on the device: from a batch to a training step."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from dftk.input import batches
from dftk.models import registry
from dftk.models.augmentation.augmentation import Augmentation
from dftk.perf import meter
from dftk.perf.input_stages import InputStages
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.step import loop
from dftk.utils.progress import say

Batches = Callable[..., tf.data.Dataset]  # as dftk.input.batches.Batcher
_CALL_S = 1.0  # of training steps in one measurement, and one step at least


class StepStages:
    """Measures transfer, augmentation and training steps.

    Args:
      config: of the run.
      devices: as chosen for it.
      source: what makes the batches.
      phase: "frozen" or "finetune".
    """

    def __init__(self, config: Config, devices: Devices, source: InputStages, phase: str):
        self._config, self._devices, self._source = config, devices, source
        with devices.strategy.scope():
            self._detector = registry.build(config, devices.policy, devices.replicas > 1)
        self._pixels = loop.BatchImages(devices, source.examples)
        self._augmentation = Augmentation.of(config.augment)
        self._trainable = loop.TrainLoop(
            self._detector, devices, config, phase == "finetune", self._pixels
        )

    def transfer(self) -> float:
        """Batches on their devices, a pixel of each image looked at there."""
        steps = self._steps_per_epoch()

        def touch(batch: loop.Batch, resident: tf.Tensor | None) -> tf.Tensor:
            pixels = self._pixels(batch, resident)[:, 0, 0, 0]
            return tf.reduce_sum(tf.cast(pixels, tf.float32))

        @tf.function
        def epoch(iterator: Iterator[loop.Batch]) -> tf.Tensor:
            total = 0.0  # of what the devices saw: TensorFlow leaves out what nobody asks for
            for _ in tf.range(steps):
                parts = self._devices.strategy.run(touch, (next(iterator), self._pixels.resident))
                total += self._devices.strategy.reduce("SUM", parts, axis=None)
            return total

        found = meter.rate(
            lambda: epoch(loop.distribute(self._devices, self._source.epoch())).numpy(),
            len(self._source.rows),
        )
        say(f"transfer: {found:.0f} img/s")
        return found

    def augment(self) -> float:
        """Scaling, resizing and augmentation, on one batch over and over."""

        def work(batch: loop.Batch, resident: tf.Tensor | None) -> tf.Tensor:
            unit = self._detector.unit_image(self._pixels(batch, resident))
            return tf.reduce_max(self._augmentation(unit, batch["augment_randoms"]))

        batch = next(loop.distribute(self._devices, self._source.epoch()))
        run = tf.function(lambda: self._devices.strategy.run(work, (batch, self._pixels.resident)))

        def wait() -> None:
            for value in self._devices.strategy.experimental_local_results(run()):
                value.numpy()

        local = self._devices.strategy.experimental_local_results(batch["index"])
        found = meter.rate(wait, sum(len(index) for index in local))
        say(f"augment: {found:.0f} img/s")
        return found

    def _steps_per_epoch(self) -> int:
        rows, config = len(self._source.rows), self._config
        return batches.steps_per_epoch(rows, config.batch_size, self._devices.replicas)

    def _run(self, dataset: tf.data.Dataset, steps: int) -> np.ndarray:
        """Seconds per image and share of waiting of `steps` steps, after a first one."""
        iterator, zeros = loop.distribute(self._devices, dataset), tf.zeros([4])
        self._trainable.run(iterator, tf.constant(1), zeros).numpy()
        totals: list[np.ndarray] = []
        taken = meter.seconds(
            lambda: totals.append(self._trainable.run(iterator, tf.constant(steps), zeros).numpy())
        )
        return np.array([taken / totals[0][2], totals[0][3] / taken])

    def synthetic_s(self, batch_size: int) -> float:
        """Seconds per image of steps on one batch of that size over and over."""
        batch = self._repeated(self._source.examples.batches, batch_size)
        found = float(np.median([self._run(batch, 1)[0] for _ in range(3)]))
        say(f"step, batch {batch_size} repeated: {1 / found:.1f} img/s")
        return found

    def train(self) -> tuple[float, float, float]:
        """Steps on one batch repeated and on real input, in turn.

        Returns:
          seconds per image on the one and on the other, and the latter's share of waiting.
        """
        batcher, rows = self._source.examples.batches, self._source.rows
        step_s, real_s, wait = self._in_turn(self._run, batcher, rows)
        say(f"step: {1 / real_s:.1f} img/s, on one batch repeated {1 / step_s:.1f} img/s")
        return step_s, real_s, wait

    def _repeated(self, batcher: Batches, batch_size: int) -> tf.data.Dataset:
        epoch = self._epoch(batcher, np.resize(self._source.rows, batch_size), batch_size)
        return tf.data.Dataset.from_tensors(next(iter(epoch))).repeat()

    def _epoch(self, batcher: Batches, rows: np.ndarray, batch_size: int) -> tf.data.Dataset:
        key = (self._config.seed, 0)
        return batcher(
            rows, batch_size=batch_size, num_replicas=self._devices.replicas, shuffle=key
        )

    def _in_turn(
        self,
        run: Callable[[tf.data.Dataset, int], np.ndarray],
        batcher: Batches,
        rows: np.ndarray,
    ) -> tuple[float, float, float]:
        """As `train`, of any steps on any batches."""
        batch_size = self._config.batch_size
        per_epoch = batches.steps_per_epoch(len(rows), batch_size, self._devices.replicas)
        one = self._repeated(batcher, batch_size)
        steps = max(1, min(per_epoch - 1, round(_CALL_S / (run(one, 1)[0] * batch_size))))

        def real() -> np.ndarray:
            epoch = self._epoch(batcher, rows, batch_size)
            return run(epoch if per_epoch > 1 else epoch.repeat(), steps)

        pairs = np.array([(run(one, steps), real()) for _ in range(3)])
        (step_s, _), (real_s, wait) = np.median(pairs, axis=0)
        return float(step_s), float(real_s), float(wait)
