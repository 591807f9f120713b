"""Named sets of values: recipes for --recipe, and the defaults of the sample."""

from typing import Any

from dftk.models.backbones.catalog import MODELS, NATIVE_PIXELS, PRETRAINED

# benchmarks/accuracy says what each choice is worth. `seed` repeats the notebook's faults, each of
# which the help of its flag names.
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "best": {
        **NATIVE_PIXELS,
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

# Training from random weights on 320 pictures of 64 pixels wants small batches for more steps, the
# learning rate of training from scratch, and BatchNorm statistics that settle in a hundred steps.
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
SAMPLE: dict[str, dict[str, Any]] = {  # by model
    **dict.fromkeys(MODELS, _SMALL),
    **{name: {**_SMALL, **_FROM_SCRATCH} for name in PRETRAINED},
    "cnn": {**_SMALL, "finetune_epochs": 12},
}
