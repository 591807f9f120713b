"""Values of a Config that no run could use: each is one line with its flag and the remedy."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from dftk.training.presets import FITTED, NORMALISED, ONE_CLASS, ONE_SIZE, SCRATCH, words

_BELOW_ONE = ("dropout", "lr_factor", "batchnorm_momentum", "label_smoothing")


def broken(config: Any) -> Iterator[str]:
    """The rules that a config breaks.

    Args:
      config: a dftk.training.config.Config, its fields set.
    """
    for field in dataclasses.fields(config):
        yield from _of_field(field, getattr(config, field.name))
    if config.seed >= 2**32:  # what Keras takes
        yield f"--seed={config.seed}: must be below 2**32"
    if config.stored_size and config.stored_size > 4096:
        yield f"--stored_size={config.stored_size}: must be at most 4096"
    for name in _BELOW_ONE:
        if not getattr(config, name) < 1:
            yield f"--{name}={getattr(config, name)}: must be below 1"
    size, crop, model = config.image_size, config.crop_size, config.model
    if crop > size:
        yield f"--crop_size={crop}: must be at most --image_size={size}; 0 is the whole image"
    if 0 < crop < 32:
        yield f"--crop_size={crop}: must be at least 32; 0 is the whole image"
    if model in SCRATCH and config.weights == "imagenet":
        yield f"--weights=imagenet: {model} has none; give none or a file"
    if model in ONE_SIZE:
        yield from _of_one_size(config, ONE_SIZE[model])
    if model != "xception" and config.recipe == "seed":
        yield f"--recipe=seed --model={model}: the notebook's was xception"
    if model == "anomaly" and config.head not in ONE_CLASS:
        yield f"--head={config.head} --model=anomaly: needs fakes; give one of {list(ONE_CLASS)}"
    if config.head_batchnorm == "precise" and config.head not in NORMALISED:
        yield (
            f"--head={config.head} --head_batchnorm=precise: it has no BatchNorm; give one of "
            f"{list(NORMALISED)}, or --head_batchnorm=moving"
        )
    if model == "residual" and config.scaling != "symmetric":
        yield (
            f"--scaling={config.scaling} --model=residual: it takes pixels in [-1, 1]; give "
            "--scaling=symmetric"
        )
    if config.head in ONE_CLASS:
        yield from _of_a_fitted_head(config)
    else:
        yield from _without_effect(config)
    if config.frozen_epochs + config.finetune_epochs == 0:
        yield "--frozen_epochs=0 --finetune_epochs=0: nothing to train"


def _of_field(field: dataclasses.Field, value: Any) -> Iterator[str]:
    limits = field.metadata
    if limits["choices"] and value not in limits["choices"]:
        yield f"--{field.name}={value}: choose from {list(limits['choices'])}"
    if limits["low"] is not None and value is not None:
        if not value >= limits["low"]:
            yield f"--{field.name}={value}: must be at least {limits['low']}"
        if value == float("inf"):
            yield f"--{field.name}={value}: must be finite"


def _of_one_size(config: Any, patch: int) -> Iterator[str]:
    size, crop, model = config.image_size, config.crop_size, config.model
    if size % patch:
        yield f"--image_size={size} --model={model}: must be a multiple of {patch}"
    if config.weights == "imagenet" and size != 224:  # a network of patches
        yield (
            f"--image_size={size} --model={model}: its ImageNet weights are for 224; give that or "
            "--weights=none"
        )
    if crop not in (0, size):
        yield (
            f"--crop_size={crop} --model={model}: takes one size, in training as otherwise; give "
            "--crop_size=0, or another --model"
        )


def _of_a_fitted_head(config: Any) -> Iterator[str]:
    for name, value in {**FITTED, "label_smoothing": 0.0, "temperature_scaling": False}.items():
        if getattr(config, name) != value:
            yield (
                f"--head={config.head} --{name}={getattr(config, name)}: it is fitted once, on "
                f"features of images as they are; give {words({f'--{name}': value})}"
            )


def _without_effect(config: Any) -> Iterator[str]:
    """What would be ignored, and in an ablation look like a finding."""
    if config.augment_compression and not config.augment:
        yield "--augment_compression: nothing of it without --augment"
    if config.fakes_lie != "inside":
        yield f"--fakes_lie={config.fakes_lie}: only for a --head of {list(ONE_CLASS)}"
    for name, none in (("freeze_blocks", 0), ("layer_decay", 1.0)):
        value = getattr(config, name)
        if value != none and not (config.finetune_epochs and config.finetune_base):
            yield f"--{name}={value}: only where a second phase trains the base"
