"""The ladder's stages on the device where what the frozen base makes of the images is kept."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input.shards import Shard
from dftk.models.augmentation.augmentation import Augmentation
from dftk.perf import meter
from dftk.perf.input_stages import InputStages
from dftk.perf.step_stages import StepStages
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.features import frozen
from dftk.training.step import loop
from dftk.training.step.context import TrainingContext
from dftk.utils.progress import say

_STEPS = 256  # of the head in one measurement, at most


class FrozenStages(StepStages):
    """As StepStages, but a step makes features, once a run; what then trains is the head alone.

    Args:
      config, devices, source: see StepStages.
      root: where features may be written, of the source's images.
    """

    def __init__(self, config: Config, devices: Devices, source: InputStages, root: Path):
        super().__init__(config, devices, source, "frozen")
        self._augmentation = Augmentation(flip=False, colour=False, crop=None)
        self._root = root
        self._context = TrainingContext.create(
            config=config,
            devices=devices,
            detector=self._detector,
            examples=source.examples,
            images=self._pixels,
        )
        self._trainable = loop.TrainLoop(self._detector, devices, config, False, None)

    def there(self, shards: Sequence[Shard]) -> bool:
        """Whether a run has left features of these shards."""
        return frozen.folder(self._config, self._devices, self._detector, shards).exists()

    def head(self) -> tuple[float, float]:
        """Training steps of the head, img/s: on features from a file, and on one batch of them."""
        features = frozen.FrozenFeatures(self._context, root=self._root)
        rows = np.resize(self._source.rows, _STEPS * self._config.batch_size)
        step_s, real_s, _ = self._in_turn(super()._run, features.batches, rows)
        say(f"head: {1 / real_s:.0f} img/s, on one batch repeated {1 / step_s:.0f} img/s")
        return 1 / real_s, 1 / step_s

    def train(self) -> tuple[float, float, float]:
        """See StepStages; waiting is what real input takes longer."""
        step_s, real_s, _ = super().train()
        return step_s, real_s, max(0.0, 1 - step_s / real_s)

    def _run(self, dataset: tf.data.Dataset, steps: int) -> np.ndarray:
        iterator = loop.distribute(self._devices, dataset)
        self._make(iterator, 1)
        images: list[int] = []
        taken = meter.seconds(lambda: images.append(self._make(iterator, steps)))
        return np.array([taken / images[0], np.nan])

    def _make(self, iterator: Iterator[loop.Batch], steps: int) -> int:
        """Features of so many batches; returns their number of images."""
        images = 0
        for _ in range(steps):
            _, features = self._context.forward.run(iterator, self._config.augment.enabled)
            for part in self._devices.strategy.experimental_local_results(features):
                images += len(part.numpy())
        return images
