"""Values that a model, a recipe and the sample change in the defaults of dftk.training.config."""

from collections.abc import Mapping
from typing import Any

# Networks with ImageNet weights, and the range of pixels that these were trained on.
NETWORKS: dict[str, dict[str, Any]] = {
    "xception": {},
    "mobilenetv2": {},
    "resnet50v2": {},
    "efficientnetv2b0": {"scaling": "imagenet"},
    "convnext_tiny": {"scaling": "imagenet"},
    "vit": {"scaling": "imagenet"},
}
# Networks for images of one size, which must be a multiple of this: a transformer's patches, each
# known by its place; a head that sees every place.
ONE_SIZE = {"vit": 16, "vit_multilevel": 16, "cnn": 1}
# A head that sees every level: logistic regression on features that are computed once.
MULTILEVEL: dict[str, Any] = {
    "head": "linear",
    "augment": False,
    "l2": 0.01,
    "dropout": 0.0,
    "frozen_features": "cached",
    "finetune_epochs": 0,
    "head_batchnorm": "precise",
    "decay": "cosine",
    "keep": "last",
}
NORMALISED = ("dense", "linear")  # heads with BatchNorm
# Everything trained on squares of the image as it was stored, nothing resized: what betrays a
# generator lies in single pixels.
NATIVE: dict[str, Any] = {
    "image_size": 256,
    "crop_size": 128,
    "augment_colour": False,
    "frozen_epochs": 0,
    "base_batchnorm": "update",
    "head_batchnorm": "precise",
    "warmup": 150,
    "decay": "cosine",
    "keep": "last",
}
# Heads that are fitted on real images alone, in one pass over features of images as they are.
ONE_CLASS = ("mahalanobis", "pca", "forest")
FITTED: dict[str, Any] = {
    "frozen_features": "cached",
    "frozen_epochs": 1,
    "finetune_epochs": 0,
    "augment": False,
}
# What a model brings along. The small network has no weights to keep: one phase trains all of it.
MODELS: dict[str, dict[str, Any]] = {
    **NETWORKS,
    **{f"{name}_multilevel": {**given, **MULTILEVEL} for name, given in NETWORKS.items()},
    "anomaly": {"head": "pca", **FITTED},
    "cnn": {
        "head": "hidden",
        "weights": "none",
        "image_size": 256,
        "frozen_epochs": 0,
        "finetune_lr": 3e-4,
    },
    "residual": {
        **NATIVE,
        "head": "linear",
        "weights": "none",
        "finetune_epochs": 20,
        "finetune_lr": 2e-3,
    },
}
SCRATCH = ("cnn", "residual")  # networks that have no ImageNet weights

# From scratch on 320 pictures of 64 pixels: small batches for more steps, the rate of training
# from random weights, and BatchNorm statistics that settle within a hundred steps.
_SMALL: dict[str, Any] = {
    "weights": "none",
    "image_size": 64,
    "batch_size": 16,
    "augment": False,
    "crop_size": 0,
    "warmup": 0,
}
_FROM_SCRATCH: dict[str, Any] = {
    "frozen_epochs": 1,
    "finetune_epochs": 4,
    "finetune_lr": 1e-3,
    "base_batchnorm": "update",
    "batchnorm_momentum": 0.8,
}
SAMPLE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(MODELS, _SMALL),
    **{name: {**_SMALL, **_FROM_SCRATCH} for name in NETWORKS},
    "cnn": {**_SMALL, "finetune_epochs": 12},
}

# What each choice is worth: benchmarks/accuracy. The notebook's are faults; each is named in the
# help of its flag.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "best": {
        **NATIVE,
        "model": "mobilenetv2_multilevel",
        "head": "linear",
        "augment": True,
        "dropout": 0.3,
        "l2": 1e-4,
        "frozen_features": "live",
        "finetune_epochs": 7,
        "finetune_lr": 4e-4,
        "temperature_scaling": True,
    },
    "seed": {"scaling": "unit", "finetune_base": False},
}


def words(values: Mapping[str, Any]) -> str:
    """As flags without their dashes, for help texts."""
    return " ".join(f"{name}={value}" for name, value in values.items())
