"""What a model, a recipe and the sample change of the defaults of dftk.config; values only."""

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
# Side of a transformer's patches, in pixels. It knows each by its place in images of one size.
PATCHES = {"vit": 16, "vit_multilevel": 16}
# A head that sees every level: logistic regression on features that are computed once.
MULTILEVEL: dict[str, Any] = {
    "head": "linear",
    "augment": False,
    "l2": 0.01,
    "dropout": 0.0,
    "frozen_features": "cached",
    "finetune_epochs": 0,
    "decay": "cosine",
    "keep": "last",
}
# Everything trained on squares of the image as it was stored, nothing resized: what betrays a
# generator lies in single pixels.
NATIVE: dict[str, Any] = {
    "image_size": 256,
    "crop_size": 128,
    "augment_colour": False,
    "frozen_epochs": 0,
    "base_batchnorm": "update",
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
_SMALL = {"image_size": 64, "batch_size": 16, "augment": False}
SAMPLE: dict[str, dict[str, Any]] = {
    "xception_multilevel": {**_SMALL, "weights": "none"},
    "anomaly": {**_SMALL, "weights": "none"},
    "xception": {
        **_SMALL,
        "weights": "none",
        "frozen_epochs": 1,
        "finetune_epochs": 4,
        "finetune_lr": 1e-3,
        "base_batchnorm": "update",
        "batchnorm_momentum": 0.8,
    },
    "cnn": {**MODELS["cnn"], **_SMALL, "finetune_epochs": 12},
    "residual": {**_SMALL, "crop_size": None, "warmup": 0},
}

# Each choice of `best` has its row in README's ablation. The notebook's choices are faults; each
# is named in the help of its flag.
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
        "finetune_epochs": 8,
        "finetune_lr": 4e-4,
    },
    "seed": {"scaling": "unit", "finetune_base": False},
}


def words(values: Mapping[str, Any]) -> str:
    """As flags without their dashes, for help texts."""
    return " ".join(f"{name}={value}" for name, value in values.items())
