"""The training loop: many steps a call in one tf.function, over any tf.distribute strategy.

Keras's `fit` is not used. On several replicas it takes neither many steps a call nor a compiled
step, and it retraces for every fold (keras issues 19246 and 20585 among them).
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from dftk.input import residency
from dftk.input.residency import Examples
from dftk.models.augmentation.augmentation import Augmentation
from dftk.models.backbones.backbone import depths
from dftk.models.registry import Detector
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.step import gradients, optimizer

Batch = dict[str, tf.Tensor]


def distribute(devices: Devices, dataset: tf.data.Dataset) -> Iterator[Batch]:
    """Returns an iterator that gives consecutive elements to consecutive replicas.

    The dataset has one element for each local replica and step: the pipeline splits global batches
    evenly itself. If tf.distribute did it, a short batch would leave replicas without examples.
    """
    return iter(devices.strategy.distribute_datasets_from_function(lambda _: dataset))


class BatchImages:
    """The images of a batch: they come with it, or they are taken from device memory.

    Attributes:
      resident: all images, packed, one copy for each replica; None if they come with the batches.
    """

    def __init__(self, devices: Devices, examples: Examples):
        self._shape = examples.shape
        words = examples.pixel_words
        self.resident = None if words is None else devices.replicate(words)

    def __call__(self, batch: Batch, resident: tf.Tensor | None) -> tf.Tensor:
        """Returns the images of one replica's batch, uint8 [b, h, w, 3].

        Args:
          batch: with "image", or with "index" if the images are resident.
          resident: this replica's copy of `self.resident`.
        """
        if resident is None:
            return batch["image"]
        return residency.words_to_pixels(tf.gather(resident, batch["index"]), self._shape)


class TrainLoop:
    """The compiled training loop of one phase: its variables, its optimizer and its one trace.

    Args:
      detector: built in the scope of the devices' strategy.
      devices: that train.
      config: of the run.
      train_base: whether gradients pass into the base. If not, the head alone is trained.
      images: of the examples to train on. None if the batches hold features of the frozen base in
        place of images: float32 [b, 1 or 2, width], see FrozenFeatures.

    Attributes:
      variables: those that are trained: the head's, then the base's.
      optimizer: of these variables.
      traces: how often `run` was traced.
    """

    def __init__(
        self,
        detector: Detector,
        devices: Devices,
        config: Config,
        train_base: bool,
        images: BatchImages | None,
    ):
        self._detector, self._devices, self._images = detector, devices, images
        self._train_base = train_base
        self._update_batchnorm = train_base and config.base_batchnorm == "update"
        self._augmentation = Augmentation.of(config.augment)
        self._resident = None if images is None else images.resident
        self._smoothing = config.label_smoothing
        self.variables = list(detector.head.trainable_variables)
        factors = [1.0] * len(self.variables)
        if train_base:
            self.variables += detector.base.trainable_variables
            factors += layer_rate_factors(detector.base, config.layer_decay)
        gradients.add_in_order()
        with devices.strategy.scope():
            self.optimizer = optimizer.build(self.variables, devices.policy, factors)
        self._features = compile_features(detector, devices)
        self.traces = 0
        self.run = tf.function(self._run, reduce_retracing=True)

    def _run(
        self,
        iterator: Iterator[Batch],
        steps: tf.Tensor,
        totals: tf.Tensor,
        rates: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Trains for `steps` global batches.

        Args:
          iterator: see `distribute`.
          steps: int32 [].
          totals: float32 [4], what the former call of this epoch returned, or zeros. They are
            carried on and not added up outside. So the sums do not depend on the number of steps
            that one call makes.
          rates: float32 [4], the fields of schedule.RateSchedule; None keeps the optimizer's
            learning rate.

        Returns:
          float32 [4], the fields of resume.state.EpochTotals.
        """
        self.traces += 1
        for step in tf.range(steps):
            # Steps run one after the other. Otherwise what is left of a step whose loss is known
            # already would count as waiting for the next one's input.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            batch, waited = self._next(iterator, totals)
            if rates is not None:
                self.optimizer.learning_rate = rate_at(rates, tf.cast(step, tf.float32))
            by_replica = self._devices.strategy.run(self._step, (batch, self._resident))
            sums = self._devices.strategy.reduce("SUM", by_replica, axis=None)
            totals += tf.concat([sums, [waited]], 0)
        return totals

    def _next(self, iterator: Iterator[Batch], before: tf.Tensor) -> tuple[Batch, tf.Tensor]:
        """Returns the next batch, and the seconds since the end of the step before; float32 [].

        On a GPU a step ends for the host when it is queued, so that this is an upper bound.
        """
        # Without control dependencies TensorFlow would read the clock twice at once.
        with tf.control_dependencies([before]):
            start = tf.timestamp()
        with tf.control_dependencies([start]):
            batch = next(iterator)
        arrived = self._devices.strategy.experimental_local_results(batch["example_weight"])
        with tf.control_dependencies(arrived):
            end = tf.timestamp()
        with tf.control_dependencies([end]):  # else the step might run before the clock is read
            batch = tf.nest.map_structure(tf.identity, batch, expand_composites=True)
        return batch, tf.cast(end - start, tf.float32)

    def _step(self, batch: Batch, resident: tf.Tensor | None) -> tf.Tensor:
        """Trains one replica's part of one step; returns float32 [3], the first three of totals."""
        detector, label = self._detector, batch["label"]
        if self._images is None:
            features = self._augmentation.choose_view(batch["image"], batch["augment_randoms"])
        else:
            unit = detector.unit_image(self._images(batch, resident))
            unit = self._augmentation(unit, batch["augment_randoms"])
            if not self._train_base:
                features = self._features(unit, training=False)
        with tf.GradientTape() as tape:
            if self._train_base:
                features = self._features(unit, training=self._update_batchnorm)
            logits = detector.head(features, training=True)[:, 0]
            target = label * (1 - self._smoothing) + self._smoothing / 2
            losses = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
            # Gradients are summed over replicas. So an example weighs one over the size of the
            # global batch, and a replica adds its share of the penalty.
            penalty = l2_penalty(detector) / self._devices.replicas
            loss = tf.reduce_sum(losses) * batch["example_weight"] + penalty
            loss = self.optimizer.scale_loss(loss)
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
        correct = tf.cast(tf.equal(logits >= 0, label > 0), tf.float32)
        count = tf.cast(tf.size(label), tf.float32)
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(correct), count])


def layer_rate_factors(base: keras.Model, decay: float) -> list[float]:
    """Returns factors of the learning rate for the base's trainable variables, in their order.

    Args:
      base: its last block has the factor 1.
      decay: factor of a block over that of the block behind it; see --layer_decay.
    """
    depth = depths(base)
    last = max(depth.values())
    return [
        decay ** (last - depth[layer.name])
        for layer in base.layers
        for _ in layer.trainable_variables
    ]


def rate_at(rates: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate of a step: a linear warm-up, then constant or a half cosine to 0.

    Args:
      rates: float32 [4], the fields of schedule.RateSchedule.
      step: float32 [], counted from `steps_done`.
    """
    rate, steps_done, warmup, cosine = tf.unstack(rates)
    step += steps_done
    rise = tf.minimum(1.0, (step + 1.0) / tf.maximum(warmup, 1.0))
    fall = tf.clip_by_value((step - warmup) / cosine, 0.0, 1.0)  # 0 for an infinite cosine
    return rate * rise * 0.5 * (1.0 + tf.cos(np.pi * fall))


def compile_features(detector: Detector, devices: Devices) -> Callable[..., tf.Tensor]:
    """Returns Detector.features, compiled by XLA forward and backward if the devices ask for it.

    The head stays outside. Its synchronised BatchNorm is a collective, which XLA cannot hold, and
    the head is a thousandth of the work.
    """
    return tf.function(detector.features, jit_compile=True) if devices.jit else detector.features


def l2_penalty(detector: Detector) -> tf.Tensor:
    """Returns the sum of the head's L2 penalties, float32 []."""
    return tf.add_n([tf.zeros([]), *detector.head.losses])


def binary_cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    """Returns the mean loss, computed in float64 and without overflow.

    Args:
      labels: int [n], 0 or 1.
      logits: float [n].
    """
    logits = logits.astype(np.float64)
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))
