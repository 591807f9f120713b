"""Builds a detector by name and loads its weights."""

import contextlib
import dataclasses
import hashlib
import importlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dftk.models import batchnorm, dropout, preprocess
from dftk.models.backbones.backbone import Backbone, depths
from dftk.models.backbones.catalog import ARCHITECTURES, MODELS
from dftk.models.config import DetectorConfig, HeadConfig, ModelConfig
from dftk.models.heads import one_class
from dftk.models.heads import trained as heads
from dftk.utils.errors import UsageError, UserError, first_line

_OTHERWISE = "give a file with --weights=PATH, or train from scratch with --weights=none"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in [0, 1]
# Factor and shift of an image in [0, 1].
SCALINGS: dict[str, tuple[Any, Any]] = {
    "symmetric": (2.0, -1.0),
    "unit": (1.0, 0.0),
    "imagenet": ([1 / d for d in _DEVIATION], [-m / d for m, d in zip(_MEAN, _DEVIATION)]),
}


@dataclasses.dataclass(frozen=True)
class Detector:
    """A network and its parts, which share their weights with it.

    `model` is what is saved: uint8 [b, h, w, 3] of any size to probability of fake, float32
    [b, 1]. Training calls the parts one by one, with augmentation after `unit_image`, and computes
    the loss of logits, which is numerically safe.

    Attributes:
      model: the whole network.
      unit_image: uint8 [b, h, w, 3] to float32 [b, s, s, 3] in [0, 1].
      scale: [0, 1] to the range that the base expects.
      base: the network below the head, as it is saved.
      base_in_training: its twin with faster BatchNorm; see dftk.models.batchnorm.
      base_at_inference: likewise.
      pool: the outputs of the base to one vector, float32 [b, width].
      head: this vector to the logit, float32 [b, 1].
      strategy: in whose scope all of them were built.
    """

    model: keras.Model
    unit_image: keras.Model
    scale: keras.layers.Layer
    base: keras.Model
    base_in_training: keras.Model
    base_at_inference: keras.Model
    pool: keras.layers.Layer
    head: keras.Model
    strategy: tf.distribute.Strategy

    @property
    def width(self) -> int:
        """Length of the vector that the head sees."""
        return self.head.input_shape[-1]

    def features(self, unit: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns what the head sees of images, float32 [b, width].

        Args:
          unit: float32 [b, s, s, 3] in [0, 1].
          training: what BatchNorm and stochastic depth of the base do. It holds because the base is
            called directly: inside an outer model, Keras 3 lets the outer call override it.
        """
        scaled = self.scale(unit)
        if training:
            return self.pool(self.base_in_training(scaled, training=True))
        return self.pool(self.base_at_inference(scaled, training=False))

    def reset_dropout(self, key: Sequence[int]) -> None:
        """Makes the masks of dropout and stochastic depth follow from a key; see dropout.reset."""
        dropout.reset(self._random_layers(), key, self.strategy)

    def resume_dropout(self) -> None:
        """Is to be called after saved values were assigned to the model; see dropout.resume."""
        dropout.resume(self._random_layers(), self.strategy)

    def _random_layers(self) -> list[keras.layers.Layer]:
        return [*dropout.random_layers(self.head), *dropout.random_layers(self.base)]


def find_backbone(model: ModelConfig) -> Backbone:
    """Returns the backbone that a config names."""
    entry = MODELS[model.name]
    architecture = ARCHITECTURES[entry.architecture]
    module = importlib.import_module(f"dftk.models.backbones.{architecture.module}")
    return module.backbone(entry.multilevel, **architecture.arguments)


def require_package(model: ModelConfig) -> None:
    """Raises UserError if the model needs a package that is not installed."""
    find_backbone(model).require_package()


def build(config: DetectorConfig, policy: str, synchronized: bool) -> Detector:
    """Builds the detector of a run, with the weights of its base loaded.

    Call it in the scope of the strategy that will train the detector.

    Args:
      config: of the network, the head and the seed; a training run's Config is one.
      policy: Keras dtype policy of the base; the head is always float32.
      synchronized: whether BatchNorm statistics are over all replicas. Without it every replica
        keeps moving statistics of its own, and only the first one's would be saved.

    Raises:
      UsageError: more frozen blocks than the base has.
      UserError: weights that are not there or do not fit; a package that is not installed.
    """
    backbone = find_backbone(config.model)
    backbone.require_package()
    keras.utils.set_random_seed(config.seed)
    with dtype_policy(policy):
        base = backbone.base(load_network(backbone, config.model))
        _prepare_layers(base, config.model, synchronized)
        pool = backbone.pooling_of(base)
        unit_image = preprocess.unit_image(config.model.image_size)
        # In float32: rounding to bfloat16 before the shift would cost mid-grey three bits.
        scale = keras.layers.Rescaling(*SCALINGS[config.model.scaling], dtype="float32")
        image = keras.Input((None, None, 3), dtype="uint8", name="image")
        vector = pool(base(scale(unit_image(image))))
        head = _head(config.head, vector.shape[-1], config.seed, synchronized)
        sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name="probability")
        model = keras.Model(image, sigmoid(head(vector)), name=f"{config.model.name}_detector")
        return Detector(
            model=model,
            unit_image=unit_image,
            scale=scale,
            base=base,
            base_in_training=base if synchronized else batchnorm.fuse_batchnorm(base),
            base_at_inference=batchnorm.fold_batchnorm(base),
            pool=pool,
            head=head,
            strategy=tf.distribute.get_strategy(),
        )


def _prepare_layers(base: keras.Model, config: ModelConfig, synchronized: bool) -> None:
    """Sets up BatchNorm of the base, and which of its blocks train; raises as `build`."""
    depth = depths(base)
    if config.freeze_blocks > (last := max(depth.values())):
        raise UsageError(
            f"--freeze_blocks={config.freeze_blocks}: {config.name} has {last + 1} "
            f"{'block' if last == 0 else 'blocks'}, and phase 2 trains at least one of them; give "
            f"{f'at most {last}' if last else 0}"
        )
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = config.batchnorm_momentum
            layer.synchronized = synchronized
        if depth[layer.name] < config.freeze_blocks:
            layer.trainable = False


def _head(config: HeadConfig, width: int, seed: int, synchronized: bool) -> keras.Model:
    if config.is_fitted:
        return one_class.head(config.kind, width)
    make = heads.HEADS[config.kind]
    return make(width, config.dropout, config.l2, seed, synchronized)


def load_network(backbone: Backbone, config: ModelConfig) -> keras.Model:
    """Returns the network with its weights.

    Args:
      backbone: of the network.
      config: weights are "imagenet" (downloaded by Keras), "none" or the path of a file.

    Raises:
      UserError: no such file, not weights of this base, or no download.
    """
    weights, size = config.weights, config.image_size
    if weights == "imagenet":
        try:
            # Keras prints its download on stdout, and warns that MobileNetV2's weights were
            # trained on images of one size.
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
                return backbone.network("imagenet", size)
        except Exception as error:  # a failed download is a plain Exception in Keras
            raise UserError(
                f"--weights=imagenet: {first_line(error)[:200]}; {_OTHERWISE}"
            ) from error
    network = backbone.network(None, size)
    if weights == "none":
        return network
    _require_file(weights)
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that the file lacks, and leaves them random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(weights)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise UserError(
            f"--weights={weights}: not the weights of {config.backbone} without its "
            "top; give that network's, see BUILD.md, or --weights=none"
        ) from error
    return network


def weights_identity(weights: str) -> str:
    """Returns what identifies the weights of a run: "imagenet", "none", or the SHA-256 of a file.

    Raises:
      UserError: no such file.
    """
    if not is_weights_file(weights):
        return weights
    _require_file(weights)
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


def is_weights_file(weights: str) -> bool:
    """Returns whether a value of --weights names a file: any but "imagenet" and "none" does."""
    return weights not in ("imagenet", "none")


def _require_file(weights: str) -> None:
    if not Path(weights).is_file():
        raise UserError(f"--weights={weights}: no such file; {_OTHERWISE}")


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras's global dtype policy inside the block, and the former one after it."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)
