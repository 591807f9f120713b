"""Features of every training image by the initial base: computed once for all folds and runs.

As long as the base is frozen, the features of an image change with its augmentation only. They are
computed once for a fixed set of views: the image, and the image flipped. An epoch of the head then
only reads vectors. They are in a file beside the dataset, which is mapped into memory: rows are
read when they are asked for, and a run with the same base finds the file. If a process is stopped,
the next one goes on with what it has computed.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.input import batches, disk_cache
from dftk.input.resumable_file import ResumableFile
from dftk.input.shards import Shard
from dftk.models.registry import Detector
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.resume.interruption import Interrupted
from dftk.training.step.context import TrainingContext
from dftk.utils.progress import Progress, Throughput, say

_NOTE, _FILE = "note.json", "features.f32"
_FLAG = "--frozen_features=cached"
_REMEDY = "make room or let it be written, or give --frozen_features=live"
_FORMAT = 2  # part of the folder's name; to be raised if the folder's contents change
_FLOAT_BYTES = 4


class FrozenFeatures:
    """Features of every example, and of its flipped image if training flips.

    Args:
      context: of the run, its detector with the initial base.
      root: see `folder`.

    Attributes:
      path: the folder of the features.
      speeds: throughput of computing them, by "features"; whichever run did it.
      batches: makes batches of them in place of images, float32 [b, views, width].

    Raises:
      UserError: the folder beside the dataset cannot be written.
      Interrupted: by a signal; what is computed is kept.
    """

    def __init__(self, context: TrainingContext, root: Path | None = None):
        self._context = context
        config, detector, examples = context.config, context.detector, context.examples
        self._count, self._views = len(examples.labels), 2 if config.augment.enabled else 1
        self._width = detector.width
        self.path = folder(config, context.devices, detector, examples.shards, root)
        self._cache = disk_cache.DiskCache(self.path, (_NOTE, _FILE), _FLAG, _REMEDY)
        self._ensure_computed()
        seconds = json.loads((self.path / _NOTE).read_text())["seconds"]
        self.speeds = {"features": Throughput(self._count * self._views, seconds=seconds)}
        shape = (self._count, self._views, self._width)
        self._features = np.memmap(self.path / _FILE, "<f4", "r", shape=shape)

        def fetch(rows: tf.Tensor) -> tf.Tensor:
            found = tf.numpy_function(lambda index: self._features[index], [rows], tf.float32)
            return tf.reshape(found, [-1, *shape[1:]])

        self.batches = batches.Batcher(fetch, examples.labels, max_parallel=2)

    def features_of(self, rows: np.ndarray) -> np.ndarray:
        """Returns the features of unchanged images, float32 [len(rows), width]."""
        return self._features[rows, 0]

    def _ensure_computed(self) -> None:
        """Computes the features if no process has yet. Workers of one fold compute together."""
        devices = self._context.devices
        if devices.workers > 1:
            usable = self._cache.validate()
            if devices.sum_over_workers(np.array([float(usable)])) < devices.workers:
                self._compute(write=not usable)
            return
        with self._cache.lock():
            if self._cache.validate():
                self._cache.remove_partial()
                say(f"features: of {self._count} images, from {self.path}")
            else:
                self._compute(write=True)

    def _compute(self, write: bool) -> None:
        """Computes the features; `write` is False if this machine has them and others do not."""
        progress = Progress("features", self._count * self._views)
        if write:
            # Several workers start anew: they may have come differently far.
            alone = self._context.devices.workers == 1
            begin = self._cache.resumable_write if alone else self._cache.atomic_write
            with begin() as folder, self._open_file(folder) as file:
                self._write(file, progress)
            seconds = file.seconds
        else:
            for _ in self._compute_batches(progress):
                pass
            seconds = progress.seconds
        rate = self._count * self._views / seconds
        progress.close(f"{self._count} images, {rate:.0f} img/s, kept in {self.path}")

    def _open_file(self, folder: Path) -> ResumableFile:
        # Another device or batch size computes other last bits.
        context = self._context
        plan = f"batches of {context.config.batch_size} on {context.devices.description}"
        size = self._count * self._views * self._width * _FLOAT_BYTES
        return ResumableFile(folder / _FILE, folder / _NOTE, size, plan)

    def _write(self, file: ResumableFile, progress: Progress) -> None:
        images = self._count * self._views
        done = self._images_in(file)
        say(f"features: {f'going on after {done} of' if done else 'the base looks at'} "
            f"{images} images")  # fmt: skip
        try:
            for features in self._compute_batches(progress, first=file.count, done=done):
                file.append(features.data)
        except Interrupted as stop:
            if self._context.devices.workers > 1:
                raise
            raise Interrupted(
                f"features: stopped by a signal after {self._images_in(file)} of {images} images; "
                "the same command goes on from there",
                stop.number,
            ) from stop

    def _images_in(self, file: ResumableFile) -> int:
        return file.bytes // (self._width * _FLOAT_BYTES)

    def _compute_batches(
        self, progress: Progress, first: int = 0, done: int = 0
    ) -> Iterator[np.ndarray]:
        """Yields rows of the file, float32 [b, views, width], from one of the batches to the last.

        Args:
          progress: updated after each batch.
          first: index of the batch to begin with.
          done: images in the batches before it, flipped ones included.
        """
        context, before = self._context, done
        for features in context.forward.feature_batches(
            context.examples,
            np.arange(self._count),
            context.config.batch_size,
            context.check_stop,
            flipped=self._views > 1,
            first=first,
        ):
            yield features
            done += len(features) * self._views
            progress.update(done, (done - before) / progress.seconds)


def folder(
    config: Config,
    devices: Devices,
    detector: Detector,
    shards: Sequence[Shard],
    root: Path | None = None,
) -> Path:
    """Returns the folder of features, which is named by all that decides them.

    Args:
      config: of the run.
      devices: that compute.
      detector: with the initial base.
      shards: of the images.
      root: the folder above; `dftk_features` beside the shards if not given.
    """
    weights = hashlib.sha256()
    # Not `variables`: these include the states of stochastic depth, which follow from --seed.
    for variable in detector.base.weights:
        weights.update(variable.numpy().tobytes())
    model, augment = config.model, config.augment.enabled
    choices = (model.backbone, model.image_size, model.scaling, config.stored_size, augment)
    maker = f"{_FORMAT} {devices.policy} {choices} {weights.hexdigest()}"
    return disk_cache.cache_path(shards, maker, "features", root)
