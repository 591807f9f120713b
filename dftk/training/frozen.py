"""Features of every training image while the base rests: made once, for all folds and runs.

As long as the base rests, what the head sees of an image changes with its augmentation only. Of a
fixed set, the image and its mirror image, it is computed once; an epoch of the head is then a
matter of reading vectors. They lie in a file beside the dataset, which the kernel maps: rows are
read as they are asked for, and a run with the same base finds them there.
"""

import hashlib
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.config import Config
from dftk.data import batches, kept
from dftk.data.residency import Examples
from dftk.models import registry
from dftk.models.registry import Detector
from dftk.progress import Progress, say
from dftk.training.devices import Devices
from dftk.training.scorer import Scorer

_FILES = ("features.npy",)
_REMEDY = "make room or let it be written, or give --frozen_features=live"
_FORMAT = 1  # part of the name: for a change of what lies in the folder


class FrozenFeatures:
    """What the head sees of every example, and of its mirror image where training flips.

    Args:
      config: of the run.
      devices: as chosen for it.
      detector: its base as phase 1 keeps it.
      scorer: of the detector.
      examples: all of `train`.
      between: called before each batch that has to be computed.

    Raises:
      UserError: the folder beside the dataset cannot be written.
    """

    def __init__(
        self,
        config: Config,
        devices: Devices,
        detector: Detector,
        scorer: Scorer,
        examples: Examples,
        between: Callable[[], None],
    ):
        self._devices, self._scorer, self._examples = devices, scorer, examples
        self._batch_size, self._between = config.batch_size, between
        self._shape = (len(examples.labels), 2 if config.augment else 1, detector.width)
        self.path = kept.folder(examples.shards, _maker(config, devices, detector), "features")
        self._make()
        self._features = np.load(self.path / _FILES[0], mmap_mode="r")
        views, width = self._shape[1:]

        def fetch(rows: tf.Tensor) -> tf.Tensor:
            found = tf.numpy_function(lambda index: self._features[index], [rows], tf.float32)
            return tf.reshape(found, [-1, views, width])

        self.batches = batches.Batcher(fetch, examples.labels, lambda _: 2)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """What the head sees of the images as they are, float32 [len(rows), width]."""
        return self._features[rows, 0]

    def _make(self) -> None:
        """Computes them where no process has yet; workers of one fold compute together."""
        if self._devices.workers > 1:
            there = kept.usable(self.path, _FILES, _REMEDY)
            if self._devices.sum_over_workers(np.array([float(there)])) < self._devices.workers:
                self._compute(not there)
            return
        with kept.alone(self.path, _REMEDY):
            if kept.usable(self.path, _FILES, _REMEDY):
                say(f"features: of {self._shape[0]} images, from {self.path}")
            else:
                self._compute(True)

    def _compute(self, write: bool) -> None:
        count, views, _ = self._shape
        progress, started, done = Progress("features", count * views), time.perf_counter(), 0

        def rate() -> float:
            return done / (time.perf_counter() - started)

        def counted() -> None:
            nonlocal done
            progress.update(done, rate())
            done = min(done + self._batch_size, count * views)
            self._between()

        def fill(features: np.ndarray) -> None:
            for view in range(views):
                features[:, view] = self._scorer.features(
                    self._examples, np.arange(count), self._batch_size, counted, mirrored=view > 0
                )

        if not write:  # on this machine they are there; others need this one's part of the work
            fill(np.empty(self._shape, np.float32))
        else:
            with kept.written(self.path, _FILES, _REMEDY) as folder:
                file = np.lib.format.open_memmap(
                    folder / _FILES[0], "w+", np.float32, shape=self._shape
                )
                fill(file)
                file.flush()
        progress.close(f"{count} images, {rate():.0f} img/s, kept in {self.path}")


def _maker(config: Config, devices: Devices, detector: Detector) -> str:
    """All that decides the features, beside the images."""
    weights = hashlib.sha256()
    for variable in detector.base.variables:
        weights.update(variable.numpy().tobytes())
    model = registry.backbone_name(config.model)
    choices = (model, config.image_size, config.scaling, config.stored_size, config.augment)
    return f"{_FORMAT} {devices.policy} {choices} {weights.hexdigest()}"
