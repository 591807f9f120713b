"""The compiled training step on input of every kind, for benchmarks to time."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.input.residency import Examples
from dftk.models import registry
from dftk.models.augmentation import transforms
from dftk.perf.timing import Work
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.step import loop
from dftk.utils import limits

# On a GPU as in training, and enough steps to time. On a CPU, where a step takes long, a smaller
# network on smaller images: its step is still a hundred times as long as making its batch.
GPU = bool(tf.config.list_physical_devices("GPU"))
MODEL, IMAGE_SIZE, BATCH_SIZE = ("xception", 224, 64) if GPU else ("mobilenetv2", 96, 16)
STEPS = {"frozen": 100, "finetune": 100} if GPU else {"frozen": 12, "finetune": 4}


class Rig:
    """A detector with random weights, and its phases, compiled when they are first asked for.

    The learning rate stays 0: a run leaves the weights as they were.

    Args:
      opened: gives the examples in a residency.
    """

    def __init__(self, opened: Callable[[str], Examples]):
        self._opened = opened
        self.config = resolve(
            {
                "model": MODEL,
                "weights": "none",
                "image_size": IMAGE_SIZE,
                "batch_size": BATCH_SIZE,
                "mixed_precision": True,
            }
        )
        self.devices = devices_lib.choose(self.config)
        with self.devices.strategy.scope():
            self.detector = registry.build(
                self.config, self.devices.policy, self.devices.replicas > 1
            )

    @functools.cache  # noqa: B019  one rig in a session
    def train_loop(self, phase: str, on_device: bool) -> loop.TrainLoop:
        """Returns a phase's loop, for pixels on the device or pixels that come with the batch."""
        pixels = loop.BatchImages(self.devices, self._opened("device" if on_device else "ram"))
        return loop.TrainLoop(self.detector, self.devices, self.config, phase == "finetune", pixels)

    def batches(self, phase: str, residency: str) -> tf.data.Dataset:
        """Returns the batches of STEPS steps on real input."""
        examples = self._opened(residency)
        rows = np.resize(np.arange(len(examples.labels)), STEPS[phase] * BATCH_SIZE)
        return examples.batches(
            rows, batch_size=BATCH_SIZE, num_replicas=self.devices.replicas, shuffle=(42, 0)
        )

    def run(self, train_loop: loop.TrainLoop, dataset: tf.data.Dataset, steps: int) -> np.ndarray:
        """Runs the first steps of an epoch; see loop.TrainLoop.run for what it returns."""
        self.detector.reset_dropout([42])
        iterator = loop.distribute(self.devices, dataset)
        return train_loop.run(iterator, tf.constant(steps), tf.zeros([4])).numpy()

    def real_and_synthetic(self, phase: str, residency: str) -> tuple[Work, Work]:
        """Steps on real input, its first batch included, against steps on one batch repeated."""
        train_loop = self.train_loop(phase, residency == "device")
        batch = next(iter(self.batches(phase, residency)))
        steps = STEPS[phase]
        repeated = tf.data.Dataset.from_tensors(batch).repeat(steps * self.devices.replicas)
        return (
            lambda: self.run(train_loop, self.batches(phase, residency), steps),
            lambda: self.run(train_loop, repeated, steps),
        )

    def in_step_and_in_input(self) -> tuple[Work, Work]:
        """The frozen phase augmenting in the step, against augmenting in the input's map."""
        unit_image, steps = self.detector.unit_image, STEPS["frozen"]
        ready = loop.TrainLoop(
            dataclasses.replace(self.detector, unit_image=lambda image: image),
            self.devices,
            self.config.replaced(augment=False),
            False,
            loop.BatchImages(self.devices, self._opened("ram")),
        )
        in_step = self.train_loop("frozen", on_device=False)

        def augmented(batch: loop.Batch) -> loop.Batch:
            unit = transforms.flip_and_jitter(unit_image(batch["image"]), batch["augment_randoms"])
            return {**batch, "image": unit}

        def augmented_batches() -> tf.data.Dataset:
            dataset = self.batches("frozen", "ram")
            return dataset.map(augmented, num_parallel_calls=limits.cores()).prefetch(2)

        return (
            lambda: self.run(in_step, self.batches("frozen", "ram"), steps),
            lambda: self.run(ready, augmented_batches(), steps),
        )
