"""The ladder's rungs on the device: from a batch to a training step."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from dftk.config import Config
from dftk.data import batches
from dftk.models import registry
from dftk.models.augmentation import Augmentation
from dftk.perf import meter
from dftk.perf.input_rungs import InputRungs
from dftk.progress import say
from dftk.training import loop
from dftk.training.devices import Devices

_CALL_S = 1.0  # of training steps in one measurement, and one step at least


class StepRungs:
    """Measures transfer, augmentation and training steps.

    Args:
      config: of the run.
      devices: as chosen for it.
      source: what makes the batches.
      phase: "frozen" or "finetune".
    """

    def __init__(self, config: Config, devices: Devices, source: InputRungs, phase: str):
        self._config, self._devices, self._source = config, devices, source
        with devices.strategy.scope():
            self._detector = registry.build(config, devices.policy, devices.replicas > 1)
        self._pixels = loop.Pixels(devices, source.examples)
        self._trainable = loop.Trainable(
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

        augmentation = Augmentation.of(self._config)

        def work(batch: loop.Batch, resident: tf.Tensor | None) -> tf.Tensor:
            unit = self._detector.unit_image(self._pixels(batch, resident))
            return tf.reduce_max(augmentation(unit, batch["draws"]))

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

    def _synthetic(self, batch_size: int) -> tf.data.Dataset:
        config, replicas = self._config, self._devices.replicas
        rows = np.resize(self._source.rows, batch_size)
        epoch = self._source.examples.batches(
            rows, batch_size=batch_size, parts=replicas, shuffle=(config.seed, 0)
        )
        return tf.data.Dataset.from_tensors(next(iter(epoch))).repeat()

    def synthetic_s(self, batch_size: int) -> float:
        """Seconds per image of steps on one batch of that size over and over."""
        runs = [self._run(self._synthetic(batch_size), 1)[0] for _ in range(3)]
        found = float(np.median(runs))
        say(f"step, batch {batch_size} repeated: {1 / found:.1f} img/s")
        return found

    def train(self) -> tuple[float, float, float]:
        """Training steps on one batch repeated and on real input, in turn."""
        first = self._run(self._synthetic(self._config.batch_size), 1)[0]
        room = max(1, self._steps_per_epoch() - 1)
        steps = min(room, max(1, round(_CALL_S / (first * self._config.batch_size))))
        pairs = np.array(
            [
                (self._run(self._synthetic(self._config.batch_size), steps), self._real(steps))
                for _ in range(3)
            ]
        )
        (step_s, _), (real_s, wait) = np.median(pairs, axis=0)
        say(f"step: {1 / real_s:.1f} img/s, on one batch repeated {1 / step_s:.1f} img/s")
        return float(step_s), float(real_s), float(wait)

    def _real(self, steps: int) -> np.ndarray:
        if self._steps_per_epoch() > 1:
            return self._run(self._source.epoch(), steps)
        return self._run(self._source.epoch().repeat(), steps)
