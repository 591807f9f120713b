"""The stages on the device: from a batch to a training step."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from dftk.input import batches
from dftk.models import registry
from dftk.models.augmentation.augmentation import Augmentation
from dftk.perf import timing
from dftk.perf.input_stages import InputStages
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.step import loop
from dftk.utils.progress import say

MakeBatches = Callable[..., tf.data.Dataset]  # called like dftk.input.batches.Batcher
_CALL_S = 1.0  # seconds of training steps in one measurement, which has one step at least
_ROUNDS = 3  # of which the median counts


@dataclasses.dataclass(frozen=True)
class StepTimes:
    """Times of training steps.

    Attributes:
      synthetic_s: seconds per image on one batch repeated.
      real_s: seconds per image on real input.
      input_wait: fraction of real_s that steps wait for input.
    """

    synthetic_s: float
    real_s: float
    input_wait: float


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
            self.detector = registry.build(config, devices.policy, devices.replicas > 1)
        self._pixels = loop.BatchImages(devices, source.examples)
        self._augmentation = Augmentation.of(config.augment)
        self._train_loop = loop.TrainLoop(
            self.detector, devices, config, phase == "finetune", self._pixels
        )

    def transfer(self) -> float:
        """Measures batches that arrive on their devices, img/s.

        One pixel of each image is read there, for TensorFlow leaves out what nobody asks for.
        """
        steps = batches.steps_per_epoch(
            len(self._source.rows), self._config.batch_size, self._devices.replicas
        )

        def touch(batch: loop.Batch, resident: tf.Tensor | None) -> tf.Tensor:
            pixels = self._pixels(batch, resident)[:, 0, 0, 0]
            return tf.reduce_sum(tf.cast(pixels, tf.float32))

        @tf.function
        def epoch(iterator: Iterator[loop.Batch]) -> tf.Tensor:
            total = 0.0
            for _ in tf.range(steps):
                sums = self._devices.strategy.run(touch, (next(iterator), self._pixels.resident))
                total += self._devices.strategy.reduce("SUM", sums, axis=None)
            return total

        found = timing.rate(
            lambda: epoch(loop.distribute(self._devices, self._source.epoch())).numpy(),
            len(self._source.rows),
        )
        say(f"transfer: {found:.0f} img/s")
        return found

    def augment(self) -> float:
        """Measures scaling, resizing and augmentation of one batch repeated, img/s."""

        def work(batch: loop.Batch, resident: tf.Tensor | None) -> tf.Tensor:
            unit = self.detector.unit_image(self._pixels(batch, resident))
            return tf.reduce_max(self._augmentation(unit, batch["augment_randoms"]))

        batch = next(loop.distribute(self._devices, self._source.epoch()))
        run = tf.function(lambda: self._devices.strategy.run(work, (batch, self._pixels.resident)))

        def wait() -> None:
            for value in self._devices.strategy.experimental_local_results(run()):
                value.numpy()

        local = self._devices.strategy.experimental_local_results(batch["index"])
        found = timing.rate(wait, sum(len(index) for index in local))
        say(f"augment: {found:.0f} img/s")
        return found

    def train(self) -> StepTimes:
        """Measures steps on one batch repeated and on real input, in turn."""
        found = self._compare_inputs(
            self._time_steps, self._source.examples.batches, self._source.rows
        )
        say(f"step: {1 / found.real_s:.1f} img/s, "
            f"on one batch repeated {1 / found.synthetic_s:.1f} img/s")  # fmt: skip
        return found

    def synthetic_s(self, batch_size: int) -> float:
        """Measures steps on one batch of that size repeated, seconds per image."""
        batch = self._repeated(self._source.examples.batches, batch_size)
        found = float(np.median([self._time_steps(batch, 1)[0] for _ in range(_ROUNDS)]))
        say(f"step, batch {batch_size} repeated: {1 / found:.1f} img/s")
        return found

    def _time_steps(self, dataset: tf.data.Dataset, steps: int) -> tuple[float, float]:
        """Times `steps` steps after a first one: seconds per image, fraction spent waiting."""
        iterator, zeros = loop.distribute(self._devices, dataset), tf.zeros([4])
        self._train_loop.run(iterator, tf.constant(1), zeros).numpy()
        totals: list[np.ndarray] = []
        taken = timing.seconds(
            lambda: totals.append(self._train_loop.run(iterator, tf.constant(steps), zeros).numpy())
        )
        _, _, images, waited = totals[0]
        return taken / images, waited / taken

    def _compare_inputs(
        self,
        time_steps: Callable[[tf.data.Dataset, int], tuple[float, float]],
        make_batches: MakeBatches,
        rows: np.ndarray,
    ) -> StepTimes:
        """Measures steps of any kind on one batch repeated and on real input, in turn."""
        batch_size = self._config.batch_size
        per_epoch = batches.steps_per_epoch(len(rows), batch_size, self._devices.replicas)
        one = self._repeated(make_batches, batch_size)
        seconds_per_image, _ = time_steps(one, 1)
        steps = max(1, min(per_epoch - 1, round(_CALL_S / (seconds_per_image * batch_size))))

        def real() -> tuple[float, float]:
            epoch = self._epoch(make_batches, rows, batch_size)
            return time_steps(epoch if per_epoch > 1 else epoch.repeat(), steps)

        pairs = np.array([(time_steps(one, steps), real()) for _ in range(_ROUNDS)])
        (synthetic_s, _), (real_s, wait) = np.median(pairs, axis=0)
        return StepTimes(float(synthetic_s), float(real_s), float(wait))

    def _repeated(self, make_batches: MakeBatches, batch_size: int) -> tf.data.Dataset:
        rows = np.resize(self._source.rows, batch_size)
        epoch = self._epoch(make_batches, rows, batch_size)
        return tf.data.Dataset.from_tensors(next(iter(epoch))).repeat()

    def _epoch(
        self, make_batches: MakeBatches, rows: np.ndarray, batch_size: int
    ) -> tf.data.Dataset:
        key = (self._config.seed, 0)
        return make_batches(
            rows, batch_size=batch_size, num_replicas=self._devices.replicas, shuffle=key
        )
