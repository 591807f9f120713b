"""Features of every training image while the base rests: made once, for all folds and runs.

As long as the base rests, what the head sees of an image changes with its augmentation only. Of a
fixed set, the image and its mirror image, it is computed once; an epoch of the head is then a
matter of reading vectors. They lie in a file beside the dataset, which the kernel maps: rows are
read as they are asked for, and a run with the same base finds them there. A process that is stopped
leaves what it has made of them to the next.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import batches, disk_cache
from dftk.input.residency import Examples
from dftk.input.resumable_file import ResumableFile
from dftk.input.shards import Shard
from dftk.models.registry import Detector
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.resume.interruption import Interrupted
from dftk.training.step.scorer import Scorer
from dftk.utils.progress import Progress, Throughput, say

_NOTE, _FILE = "note.json", "features.f32"
_FLAG = "--frozen_features=cached"
_REMEDY = "make room or let it be written, or give --frozen_features=live"
_FORMAT = 2  # part of the name: for a change of what lies in the folder


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
        self._shape = (len(examples.labels), 2 if config.augment.enabled else 1, detector.width)
        self._images, self._row = math.prod(self._shape[:2]), 4 * detector.width  # bytes
        self.path = folder(config, devices, detector, examples.shards, root)
        self._cache = disk_cache.DiskCache(self.path, (_NOTE, _FILE), _FLAG, _REMEDY)
        self._make()
        seconds = json.loads((self.path / _NOTE).read_text())["seconds"]
        # Of making them, whichever run did: for the first fold, whose time it is counted as.
        self.speeds = {"features": Throughput(self._images, seconds=seconds)}
        self._features = np.memmap(self.path / _FILE, "<f4", "r", shape=self._shape)
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
            there = self._cache.usable()
            if self._devices.sum_over_workers(np.array([float(there)])) < self._devices.workers:
                self._compute(not there)
            return
        with self._cache.alone():
            if self._cache.usable():
                self._cache.forget_begun()
                say(f"features: of {self._shape[0]} images, from {self.path}")
            else:
                self._compute(True)

    def _compute(self, write: bool) -> None:
        progress = Progress("features", self._images)
        if write:
            # Several workers begin anew: how far each had come need not be the same.
            alone = self._devices.workers == 1
            begin = self._cache.continued if alone else self._cache.written
            with begin() as folder, self._growing(folder) as file:
                self._write(file, progress)
            seconds = file.seconds
        else:  # on this machine they are there; others need this one's part of the work
            for _ in self._batches(progress):
                pass
            seconds = progress.seconds
        rate = self._images / seconds
        progress.close(f"{self._shape[0]} images, {rate:.0f} img/s, kept in {self.path}")

    def _growing(self, folder: Path) -> ResumableFile:
        # One device's arithmetic is not another's, to the last bits.
        plan = f"batches of {self._batch_size} on {self._devices.description}"
        return ResumableFile(folder / _FILE, folder / _NOTE, self._images * self._row, plan)

    def _write(self, file: ResumableFile, progress: Progress) -> None:
        before = file.bytes // self._row
        begin = f"going on after {before} of" if before else "the base looks at"
        say(f"features: {begin} {self._images} images")
        try:
            for found in self._batches(progress, file.count, before):
                file.append(found.data)
        except Interrupted as stop:
            if self._devices.workers > 1:
                raise
            done = f"{file.bytes // self._row} of {self._images} images"
            raise Interrupted(
                f"features: stopped by a signal after {done}; the same command goes on from there",
                stop.number,
            ) from stop

    def _batches(self, progress: Progress, first: int = 0, before: int = 0) -> Iterator[np.ndarray]:
        """Rows of the file, float32 [b, views, width], from one of the batches to the last.

        Args:
          progress: told of each batch.
          first: the batch to begin with.
          before: images in the batches before it, their mirror images counted.
        """
        (count, views, _), done = self._shape, before
        rows, mirror = np.arange(count), views > 1
        for found in self._scorer.views(
            self._examples, rows, self._batch_size, self._between, mirror, first
        ):
            yield found
            done += len(found) * views
            progress.update(done, (done - before) / progress.seconds)


def folder(
    config: Config,
    devices: Devices,
    detector: Detector,
    shards: Sequence[Shard],
    root: Path | None = None,
) -> Path:
    """The folder of these shards' features, named by all that decides them; see disk_cache.folder.

    Args:
      config, devices, detector: see FrozenFeatures.
      shards: as of a split, or less.
      root: the folder above; `dftk_features` beside the shards if not given.
    """
    weights = hashlib.sha256()
    # Not `variables`: these include the states of stochastic depth, which follow from --seed.
    for variable in detector.base.weights:
        weights.update(variable.numpy().tobytes())
    model, augment = config.model, config.augment.enabled
    choices = (model.backbone, model.image_size, model.scaling, config.stored_size, augment)
    maker = f"{_FORMAT} {devices.policy} {choices} {weights.hexdigest()}"
    return disk_cache.folder(shards, maker, "features", root)
