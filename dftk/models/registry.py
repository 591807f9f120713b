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
import numpy as np
import tensorflow as tf

from dftk.models import batchnorm, folding, preprocess
from dftk.models.backbones.backbone import Backbone, depths
from dftk.models.backbones.catalog import ARCHITECTURES, MODELS
from dftk.models.config import DetectorConfig, HeadConfig, ModelConfig
from dftk.models.heads import one_class
from dftk.models.heads import trained as heads
from dftk.utils.errors import UserError

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
    [b, 1]. Training calls the parts one by one, with augmentation after `unit_image`, and with
    logits: the numerically safe form of the loss.
    """

    model: keras.Model
    unit_image: keras.Model
    scale: keras.layers.Layer  # [0, 1] to the range that the base expects
    base: keras.Model
    folded: keras.Model  # the base at inference, with its weights; see dftk.models.folding
    pool: keras.layers.Layer  # what the base gives to a vector
    head: keras.Model

    @property
    def width(self) -> int:
        """Length of the vector that the head sees."""
        return self.head.input_shape[-1]

    def features(self, unit: tf.Tensor, training: bool) -> tf.Tensor:
        """float32 [b, s, s, 3] in [0, 1] to what the head sees, float32 [b, width].

        `training` decides what BatchNorm of the base does. It holds because the base is called
        directly: inside an outer model, Keras 3 lets the outer call's `training` override it.
        """
        scaled = self.scale(unit)
        return self.pool(self.base(scaled, training=True) if training else self.folded(scaled))

    def reset_dropout(self, key: Sequence[int]) -> None:
        """Sets the state of every layer that draws from integers such as (seed, fold, epoch)."""
        for position, layer in enumerate((*dropouts(self.head), *dropouts(self.base))):
            state = np.random.SeedSequence([*key, position]).generate_state(2)
            layer.seed_generator.state.assign(state)


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

    Args:
      config: of the network, the head and the seed; a training run's Config is one.
      policy: Keras dtype policy of the base; the head is float32 always.
      synchronized: BatchNorm statistics over all replicas. Without it every replica keeps moving
        statistics of its own, and only the first one's would be saved.

    Raises:
      UserError: weights that are not there or do not fit; a package that is not installed.
    """
    model_config, backbone = config.model, find_backbone(config.model)
    backbone.require_package()
    keras.utils.set_random_seed(config.seed)
    with dtype_policy(policy):
        base = backbone.base(load_network(backbone, model_config))
        depth = depths(base)
        if model_config.freeze_blocks > (last := max(depth.values())):
            raise UserError(
                f"--freeze_blocks={model_config.freeze_blocks}: {model_config.name} has {last + 1} "
                f"blocks, and phase 2 trains at least one of them; give at most {last}"
            )
        for layer in base.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = model_config.batchnorm_momentum
                layer.synchronized = synchronized
                if not synchronized:
                    batchnorm.fuse(layer)
            if depth[layer.name] < model_config.freeze_blocks:
                layer.trainable = False
        unit_image = preprocess.unit_image(model_config.image_size)
        # In float32: rounding to bfloat16 before the shift would cost mid-grey three bits.
        scale = keras.layers.Rescaling(*SCALINGS[model_config.scaling], dtype="float32")
        image = keras.Input((None, None, 3), dtype="uint8", name="image")
        pool = backbone.pooling(base)
        vector = pool(base(scale(unit_image(image))))
        width = vector.shape[-1]
        head = _head(config.head, width, config.seed, synchronized)
        for layer in (*dropouts(head), *dropouts(base)):
            _differ_by_replica(layer.seed_generator)
        logit = head(vector)
        probability = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(logit)
    model = keras.Model(image, probability, name=f"{model_config.name}_detector")
    return Detector(model, unit_image, scale, base, folding.fold_batchnorm(base), pool, head)


def _head(config: HeadConfig, width: int, seed: int, synchronized: bool) -> keras.Model:
    if config.is_fitted:
        return one_class.head(config.kind, width)
    make = heads.HEADS[config.kind]
    return make(width, config.dropout, config.l2, seed, synchronized)


def dropouts(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that draw, stochastic depth included: Keras gives a rate of 0 no generator."""
    return [layer for layer in model.layers if getattr(layer, "seed_generator", None) is not None]


def _differ_by_replica(generator: keras.random.SeedGenerator) -> None:
    """Shifts each replica's seeds: the mirrored state would give all of them the same mask."""
    draw = generator.next

    def draw_for_replica(ordered: bool = True) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = draw(ordered)
        return seed + tf.cast(tf.stack([0, replica]), seed.dtype)

    generator.next = draw_for_replica


def load_network(backbone: Backbone, config: ModelConfig) -> keras.Model:
    """Returns the network with its weights: "imagenet" (downloaded by Keras), "none", or a file.

    Raises:
      UserError: no such file, not weights of this base, or no download.
    """
    weights, size = config.weights, config.image_size
    if weights == "imagenet":
        try:
            # What comes of the download; that MobileNetV2's weights are of one size of input.
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
                return backbone.network("imagenet", size)
        except Exception as error:  # a failed download is a plain Exception in Keras
            raise UserError(f"--weights=imagenet: {_first_line(error)}; {_OTHERWISE}") from error
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
    """What tells two runs' weights apart: "imagenet", "none", or the file's SHA-256.

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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Keras's global dtype policy inside the block, and the former one after it."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)
