"""Features of every training image while the base rests: made once, for all folds and runs.

As long as the base rests, what the head sees of an image changes with its augmentation only. Of a
fixed set, the image and its mirror image, it is computed once; an epoch of the head is then a
matter of reading vectors. They lie in a file beside the dataset, which the kernel maps: rows are
read as they are asked for, and a run with the same base finds them there.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.config import Config
from dftk.data import batches, kept
from dftk.data.catalog import Shard
from dftk.data.residency import Examples
from dftk.models import registry
from dftk.models.registry import Detector
from dftk.progress import Progress, Throughput, say
from dftk.training.devices import Devices
from dftk.training.scorer import Scorer

_FILE = "features.npy"
_FLAG = "--frozen_features=cached"
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
      root: see `folder`.

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
        between: Callable[[], None] = lambda: None,
        root: Path | None = None,
    ):
        self._devices, self._scorer, self._examples = devices, scorer, examples
        self._batch_size, self._between = config.batch_size, between
        self._shape = (len(examples.labels), 2 if config.augment else 1, detector.width)
        self.path = folder(config, devices, detector, examples.shards, root)
        self._kept = kept.Kept(self.path, (_FILE,), _FLAG, _REMEDY)
        self._make()
        images = math.prod(self._shape[:2])
        # Of making them, whichever run did: for the first fold, whose time it is counted as.
        self.speeds = {"features": Throughput(images, seconds=self._kept.seconds)}
        self._features = np.load(self.path / _FILE, mmap_mode="r")
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
            there = self._kept.usable()
            if self._devices.sum_over_workers(np.array([float(there)])) < self._devices.workers:
                self._compute(not there)
            return
        with self._kept.alone():
            if self._kept.usable():
                say(f"features: of {self._shape[0]} images, from {self.path}")
            else:
                self._compute(True)

    def _compute(self, write: bool) -> None:
        progress = Progress("features", math.prod(self._shape[:2]))
        if write:
            with self._kept.written() as folder, (folder / _FILE).open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 4 * math.prod(self._shape))  # as in RawFile
                header = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
                np.lib.format.write_array_header_1_0(file, header)
                for found in self._batches(progress):
                    file.write(found.data)
        else:  # on this machine they are there; others need this one's part of the work
            for _ in self._batches(progress):
                pass
        rate = math.prod(self._shape[:2]) / progress.seconds
        progress.close(f"{self._shape[0]} images, {rate:.0f} img/s, kept in {self.path}")

    def _batches(self, progress: Progress) -> Iterator[np.ndarray]:
        """Rows of the file, float32 [b, views, width], from the first to the last."""
        (count, views, _), done = self._shape, 0
        rows, mirror = np.arange(count), views > 1
        for found in self._scorer.views(
            self._examples, rows, self._batch_size, self._between, mirror
        ):
            yield found
            done += len(found) * views
            progress.update(done)


def folder(
    config: Config,
    devices: Devices,
    detector: Detector,
    shards: Sequence[Shard],
    root: Path | None = None,
) -> Path:
    """Where the features of these shards lie, named by all that decides them; see dftk.data.kept.

    Args:
      config, devices, detector: see FrozenFeatures.
      shards: as of a split, or less.
      root: the folder above; `dftk_features` beside the shards if not given.
    """
    weights = hashlib.sha256()
    for variable in detector.base.variables:
        weights.update(variable.numpy().tobytes())
    model = registry.backbone_name(config.model)
    choices = (model, config.image_size, config.scaling, config.stored_size, config.augment)
    maker = f"{_FORMAT} {devices.policy} {choices} {weights.hexdigest()}"
    return kept.folder(shards, maker, "features", root)
