"""The config of a training run: frozen, validated, one flag for each value; no TensorFlow here.

A model, a recipe and the sample change the defaults that they need to. A flag that the user gives
wins over all of them.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from dftk.models.backbones.catalog import MODELS
from dftk.models.config import ONE_CLASS_HEADS, AugmentConfig, HeadConfig, ModelConfig
from dftk.training import rules
from dftk.training.phase_config import PhaseConfig
from dftk.training.recipes import RECIPES, SAMPLE
from dftk.utils.errors import UsageError
from dftk.utils.option import as_words, flags_of, from_values, option, section, values_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """All that decides what a training run computes. The fields' help texts document them."""

    dataset: str = option(
        "rvf10k",
        "The images to train on. rvf10k, rvf10k/CONFIG, or the directory of a dataset that `tfds "
        "build` wrote. A folder or .zip with real/ and fake/ in it, alone or in train/ and valid/, "
        "or a .csv of paths and labels; these are built in --data_dir when they are first used. "
        "sample: drawn pictures that need no download, with defaults of their own "
        f"({as_words(SAMPLE['xception'])}; with --model=cnn {as_words(SAMPLE['cnn'])}).",
    )
    data_dir: str | None = option(
        None, "Directory in which TFDS keeps datasets; ~/tensorflow_datasets if not given."
    )
    folds: int = option(5, "Number of folds that the dataset was built with.", low=2)
    max_examples: int | None = option(
        None, "Use at most this many training images, spread evenly over the shards.", low=1
    )
    stored_size: int | None = option(
        None,
        "Resize every image to this height and width once, when it is decoded. Images then take "
        "less memory and may be of any size; pixels are rounded to whole levels, which the saved "
        "model does not do. Not given: images must be of one size, are kept as they are, and are "
        "resized on the device.",
        low=32,
    )
    cache: str = option(
        "auto",
        "Where pixels are kept between epochs: in device memory, in ram, in a raw file on disk "
        "beside the dataset, or none (images are decoded in every epoch). auto takes the first of "
        "these with enough room, and device only on a GPU. Batches are the same to the bit.",
        choices=("auto", "none", "ram", "device", "disk"),
    )
    recipe: str = option(
        "default",
        "default: the schedule that this help describes. best: the choices that scored best on "
        "RVF10K (benchmarks/accuracy/README.md has the measurements); everything is trained on "
        f"squares of the unresized image ({as_words(RECIPES['best'])}). seed: the choices of the "
        "Kaggle notebook that this project replaces, with its faults (images in [0, 1], a second "
        "phase that never unfreezes the base); tfds_rvf10k/README.md has its unstratified folds.",
        choices=tuple(RECIPES),
    )
    model: ModelConfig = section(ModelConfig())
    head: HeadConfig = section(HeadConfig())
    augment: AugmentConfig = section(AugmentConfig())
    batch_size: int = option(32, "Global batch size, over all replicas.", low=1)
    frozen: PhaseConfig = section(
        PhaseConfig(epochs=20, lr=1e-3, stop=10, plateau=4),
        prefix="frozen_",
        phase="phase 1, in which the base is frozen",
    )
    frozen_features: str = option(
        "live",
        "In phase 1. live: the frozen base computes its features in every epoch. cached: it "
        "computes them once for all folds and runs, and they are kept beside the dataset; an epoch "
        "then takes seconds, and the flip is the only augmentation.",
        choices=("live", "cached"),
    )
    finetune: PhaseConfig = section(
        PhaseConfig(epochs=30, lr=1e-5, stop=15, plateau=7),
        prefix="finetune_",
        phase="phase 2, in which everything is trained",
    )
    finetune_base: bool = option(
        True, "Train the base in phase 2; false repeats the notebook's fault (recipe seed)."
    )
    layer_decay: float = option(
        1.0,
        "In phase 2, learning rate of a block over that of the block behind it; see "
        "--freeze_blocks.",
        low=0.0,
    )
    label_smoothing: float = option(
        0.0,
        "Train on labels of s/2 and 1 - s/2 in place of 0 and 1, s being this value.",
        low=0.0,
    )
    warmup: int = option(
        0, "Number of steps at the start of a phase in which the learning rate rises from 0.", low=0
    )
    decay: str = option(
        "plateau",
        "How the learning rate falls. plateau: by --lr_factor when val_loss stops improving. "
        "cosine: to 0 over all epochs of the phase, as a half cosine, without early stopping.",
        choices=("plateau", "cosine"),
    )
    lr_factor: float = option(0.5, "Factor of the learning rate on a plateau.", low=0.0)
    min_lr: float = option(1e-7, "Smallest learning rate on plateaus.", low=0.0)
    keep: str = option(
        "best",
        "Weights that a fold ends with. best: those of the epoch with the best val_loss, so that "
        "the held-out images, which are scored then, choose the epoch. last: those of the last "
        "epoch.",
        choices=("best", "last"),
    )
    temperature_scaling: bool = option(
        False,
        "Divide a trained fold's logits by the number that fits its whole training images best, "
        "so that probabilities tell how often they are right (arXiv:1706.04599). Decisions at 0.5 "
        "and AUC stay the same; val_loss in history.csv is from before.",
    )
    base_batchnorm: str = option(
        "inference",
        "Statistics that the base's BatchNorm uses in phase 2. inference: its stored ones. update: "
        "those of the batch, and the stored ones are updated. Scale and offset train either way. "
        "ConvNeXt and vit have no BatchNorm.",
        choices=("inference", "update"),
    )
    jit: str = option(
        "auto",
        "Compile the base by XLA, forward and backward. auto: on GPUs only; it is slower on CPUs.",
        choices=("auto", "on", "off"),
    )
    seed: int = option(42, "Seed of weights, order, augmentation and dropout.", low=0)
    mixed_precision: bool = option(
        False, "Compute in bfloat16 where the device has it, else in float16 on GPUs."
    )

    def __post_init__(self) -> None:
        for violation in rules.violations(flags_of(Config), self.values()):
            raise UsageError(violation.text, violation.flags)

    def values(self) -> dict[str, Any]:
        """Returns every value by the name of its flag, as config.json holds them."""
        return values_of(self)

    def replaced(self, **values: Any) -> "Config":
        """Returns this config with other values, by flag.

        Raises:
          UsageError: a value that no run could use.
        """
        return from_values(Config, values, base=self)


def resolve(given: Mapping[str, Any], chosen: Collection[str] | None = None) -> Config:
    """Returns the config of a run: the defaults, changed by model, recipe, sample and user.

    Args:
      given: values that the user set, by flag; they win over all others.
      chosen: those of them that must have an effect; all if not given.

    Raises:
      UsageError: a value that no run could use, or one that this run would ignore.
    """
    brought = _brought(given)
    values = {name: value for name, (value, _) in brought.items()}
    try:
        config = from_values(Config, {**values, **given})
    except UsageError as error:
        raise _with_origins(error, {n: o for n, o in brought.items() if n not in given}) from None
    for violation in rules.ignored(
        config.values(), values_of(Config), given.keys() if chosen is None else chosen
    ):
        raise UsageError(violation.text, violation.flags)
    return config


def _brought(given: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """Returns what given values bring along: by flag, a value and the flag that brings it."""
    recipe = given.get("recipe", "default")
    from_recipe = RECIPES.get(recipe, {})
    model = given.get("model", from_recipe.get("model", "xception"))
    named = f"--model={model}" if "model" in given else f"--recipe={recipe}"
    sources = [
        (named, MODELS[model].defaults if model in MODELS else {}),
        (f"--recipe={recipe}", from_recipe),
        ("--dataset=sample", SAMPLE.get(model, {}) if given.get("dataset") == "sample" else {}),
    ]
    if (head := given.get("head")) in ONE_CLASS_HEADS:  # these have no BatchNorm
        sources.append((f"--head={head}", {"head_batchnorm": "moving"}))
    return {name: (value, flag) for flag, values in sources for name, value in values.items()}


def _with_origins(error: UsageError, brought: Mapping[str, tuple[Any, str]]) -> UsageError:
    """Returns the error, with the origin of each value at fault that the user did not give."""
    origins: dict[str, dict[str, Any]] = {}
    for name in error.flags:
        if name in brought:
            value, flag = brought[name]
            origins.setdefault(flag, {})[f"--{name}"] = value
    if not origins:
        return error
    words = "; ".join(f"{as_words(values)} comes with {flag}" for flag, values in origins.items())
    return UsageError(f"{error} ({words})", error.flags)


def as_flags(config: Config) -> list[str]:
    """Returns a command line that gives this config.

    It names every value that its model, recipe and dataset do not bring along. So a value that came
    with one of these does not look like a choice of the user's.
    """
    values = config.values()
    few = {name: values[name] for name in ("recipe", "model", "dataset", "head")}
    brought = {name: value for name, (value, _) in _brought(few).items()}
    defaults = {**values_of(Config), **brought}
    flags = []
    for name, value in values.items():
        if name not in few and value == defaults[name]:
            continue
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no{name}")
        elif value is not None:
            flags.append(f"--{name}={value}")
    return flags
