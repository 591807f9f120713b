"""The stages on the device of a run that caches the features of its frozen base."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input.shards import Shard
from dftk.models.augmentation.augmentation import Augmentation
from dftk.perf import timing
from dftk.perf.input_stages import InputStages
from dftk.perf.step_stages import StepStages, StepTimes
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.features import frozen
from dftk.training.step import loop
from dftk.training.step.context import TrainingContext
from dftk.utils.progress import say

_STEPS = 256  # training steps of the head in one measurement, at most


class FrozenStages(StepStages):
    """Like StepStages, but a step makes features, once for all runs, and the head trains on them.

    Args:
      config, devices, source: see StepStages.
      root: folder where features of the source's images may be written.
    """

    def __init__(self, config: Config, devices: Devices, source: InputStages, root: Path):
        super().__init__(config, devices, source, "frozen")
        self._augmentation = Augmentation(flip=False, colour=False, crop=None)
        self._root = root
        self.context = TrainingContext.create(
            config=config,
            devices=devices,
            detector=self.detector,
            examples=source.examples,
            images=self._pixels,
        )
        self._train_loop = loop.TrainLoop(self.detector, devices, config, False, None)

    def features_exist(self, shards: Sequence[Shard]) -> bool:
        """Returns whether a run has left features of these shards."""
        return frozen.folder(self._config, self._devices, self.detector, shards).exists()

    def train(self) -> StepTimes:
        """See StepStages; what real input takes longer than one batch repeated is waiting."""
        found = super().train()
        return dataclasses.replace(found, input_wait=max(0.0, 1 - found.synthetic_s / found.real_s))

    def train_head(self) -> StepTimes:
        """Measures training steps of the head, on features from a file and on one batch of them."""
        features = frozen.FrozenFeatures(self.context, root=self._root)
        rows = np.resize(self._source.rows, _STEPS * self._config.batch_size)
        found = self._compare_inputs(super()._time_steps, features.batches, rows)
        say(f"head: {1 / found.real_s:.0f} img/s, "
            f"on one batch repeated {1 / found.synthetic_s:.0f} img/s")  # fmt: skip
        return found

    def _time_steps(self, dataset: tf.data.Dataset, steps: int) -> tuple[float, float]:
        """Times making the features of `steps` batches: seconds per image; waiting is not known."""
        iterator = loop.distribute(self._devices, dataset)
        self._make_features(iterator, 1)
        images: list[int] = []
        taken = timing.seconds(lambda: images.append(self._make_features(iterator, steps)))
        return taken / images[0], np.nan

    def _make_features(self, iterator: Iterator[loop.Batch], steps: int) -> int:
        """Makes the features of `steps` batches; returns their number of images."""
        images = 0
        for _ in range(steps):
            _, features = self.context.forward.run(iterator, self._config.augment.enabled)
            for part in self._devices.strategy.experimental_local_results(features):
                images += len(part.numpy())
        return images
