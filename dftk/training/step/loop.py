"""The step loop: many steps per call inside one tf.function, over any tf.distribute strategy.

Keras's `fit` is not used: on several replicas it takes neither many steps per call nor a compiled
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
    """An iterator that hands consecutive elements to consecutive replicas.

    The pipeline cuts a global batch into its replicas' parts itself, evenly and exactly; left to
    tf.distribute, a short batch would leave replicas empty.
    """
    return iter(devices.strategy.distribute_datasets_from_function(lambda _: dataset))


class Pixels:
    """Gives a step its batch's images: they came with it, or lie in the device's memory."""

    def __init__(self, devices: Devices, examples: Examples):
        pixel_words = examples.pixel_words
        self._shape = examples.shape
        self.resident = None if pixel_words is None else devices.replicate(pixel_words)

    def __call__(self, batch: Batch, resident: tf.Tensor | None) -> tf.Tensor:
        """uint8 [b, h, w, 3]; `resident` is this replica's of `self.resident`."""
        if resident is None:
            return batch["image"]
        return residency.words_to_pixels(tf.gather(resident, batch["index"]), self._shape)


class TrainLoop:
    """The compiled training loop of one phase: its variables, its optimizer, its one trace.

    Args:
      detector: built inside the strategy's scope.
      devices: as chosen.
      config: base_batchnorm, augmentation, layer_decay, label_smoothing.
      train_base: False trains the head on features that no gradient passes.
      pixels: of the examples that it will train on; None where its batches hold views of frozen
        features, float32 [b, views, width], for images.
    """

    def __init__(
        self,
        detector: Detector,
        devices: Devices,
        config: Config,
        train_base: bool,
        pixels: Pixels | None,
    ):
        self._detector, self._devices, self._pixels = detector, devices, pixels
        self._train_base = train_base
        self._update_batchnorm = train_base and config.base_batchnorm == "update"
        self._augmentation = Augmentation.of(config.augment)
        self._resident = None if pixels is None else pixels.resident
        self._smoothing = config.label_smoothing
        self.variables = list(detector.head.trainable_variables)
        factors = [1.0] * len(self.variables)
        if train_base:
            self.variables += detector.base.trainable_variables
            factors += layer_rates(detector.base, config.layer_decay)
        gradients.add_in_order()
        with devices.strategy.scope():
            self.optimizer = optimizer.build(self.variables, devices.policy, factors)
        self._features = compiled(detector.features, devices)
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
          totals: what the former call of this epoch returned, or zeros. Carried on, not added up
            outside: so the sums do not depend on how many steps one call makes.
          rates: float32 [4], see schedule.rates; None keeps the optimizer's learning rate.

        Returns:
          float32 [4]: sum of the examples' losses, number classified right, number of examples,
          and seconds spent waiting for input.
        """
        self.traces += 1
        for step in tf.range(steps):
            # A step begins when the one before has updated its weights, not when its loss is
            # known: else what is left of that one counts as waiting for input.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            batch, waited = self._next(iterator, totals)
            if rates is not None:
                self.optimizer.learning_rate = rate_at(rates, tf.cast(step, tf.float32))
            parts = self._devices.strategy.run(self._step, (batch, self._resident))
            sums = self._devices.strategy.reduce("SUM", parts, axis=None)
            totals += tf.concat([sums, [waited]], 0)
        return totals

    def _next(self, iterator: Iterator[Batch], before: tf.Tensor) -> tuple[Batch, tf.Tensor]:
        """The next batch, and the seconds from the end of the step before until it was there.

        On a GPU a step ends for the host once it is queued: there this is an upper bound.
        """
        # TensorFlow orders none of this by itself: without the dependencies the clock is read
        # twice at once.
        with tf.control_dependencies([before]):
            asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            batch = next(iterator)
        arrived = self._devices.strategy.experimental_local_results(batch["example_weight"])
        with tf.control_dependencies(arrived):
            now = tf.timestamp()
        with tf.control_dependencies([now]):  # the step, which else may come first
            batch = tf.nest.map_structure(tf.identity, batch, expand_composites=True)
        return batch, tf.cast(now - asked, tf.float32)

    def _step(self, batch: Batch, resident: tf.Tensor | None) -> tf.Tensor:
        """One replica's part of one step; float32 [3] as the first three of `_run`."""
        detector, label = self._detector, batch["label"]
        if self._pixels is None:
            features = self._augmentation.view(batch["image"], batch["augment_randoms"])
        else:
            unit = detector.unit_image(self._pixels(batch, resident))
            unit = self._augmentation(unit, batch["augment_randoms"])
            if not self._train_base:
                features = self._features(unit, training=False)
        with tf.GradientTape() as tape:
            if self._train_base:
                features = self._features(unit, training=self._update_batchnorm)
            logits = detector.head(features, training=True)[:, 0]
            target = label * (1 - self._smoothing) + self._smoothing / 2
            losses = tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
            # Gradients are summed over replicas: each example weighs one over the global batch,
            # each replica carries its share of the penalty.
            penalty = l2_penalty(detector) / self._devices.replicas
            loss = tf.reduce_sum(losses) * batch["example_weight"] + penalty
            loss = self.optimizer.scale_loss(loss)
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
        right = tf.equal(logits >= 0, label > 0)
        count = tf.cast(tf.size(label), tf.float32)
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.float32)), count])


def layer_rates(base: keras.Model, decay: float) -> list[float]:
    """Factors of the learning rate of the base's trainable variables, in order: see layer_decay."""
    depth = depths(base)
    last = max(depth.values())
    return [
        decay ** (last - depth[layer.name])
        for layer in base.layers
        for _ in layer.trainable_variables
    ]


def rate_at(rates: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """The learning rate of a step: a linear warm-up, then a half cosine down to 0, or none.

    Args:
      rates: float32 [4], see schedule.rates.
      step: float32 [], from where `rates` counts.
    """
    rate, done, warmup, cosine = tf.unstack(rates)
    step += done
    rise = tf.minimum(1.0, (step + 1.0) / tf.maximum(warmup, 1.0))
    fall = tf.clip_by_value((step - warmup) / cosine, 0.0, 1.0)  # 0 for an infinite cosine
    return rate * rise * 0.5 * (1.0 + tf.cos(np.pi * fall))


def compiled(features: Callable[..., tf.Tensor], devices: Devices) -> Callable[..., tf.Tensor]:
    """Detector.features by XLA, forward and backward, where it pays.

    The head stays outside: its synchronised BatchNorm is a collective, which XLA cannot hold; it
    is a thousandth of the work.
    """
    return tf.function(features, jit_compile=True) if devices.jit else features


def l2_penalty(detector: Detector) -> tf.Tensor:
    """The head's L2 terms, float32 []."""
    return tf.add_n([tf.zeros([]), *detector.head.losses])


def binary_cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean loss of labels in {0, 1} and float logits, in float64 and without overflow."""
    logits = logits.astype(np.float64)
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))


class Snapshot:
    """Values of a set of Keras variables, to be put back into them later.

    Args:
      variables: in an order that is the same in every process.
      values: of them; read from the variables if not given.
    """

    def __init__(self, variables: list[keras.Variable], values: list[np.ndarray] | None = None):
        self._variables = variables
        self.values = values or [variable.numpy() for variable in variables]

    def restore(self) -> None:
        """Assigns the values in place, so that compiled functions stay valid."""
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)
