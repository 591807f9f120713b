"""One frozen, validated dataclass for a training run; no TensorFlow here.

A flag exists for every field, with the field's help text. A recipe or a model changes only the
fields that differ; the sample brings the schedule that suits 400 small pictures; a flag on the
command line wins over all of them.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from dftk.training import rules
from dftk.training.presets import (
    FITTED,
    MODELS,
    MULTILEVEL,
    NETWORKS,
    ONE_CLASS,
    RECIPES,
    SAMPLE,
    words,
)
from dftk.utils.errors import UsageError

_BRING = ("model", "recipe", "dataset")  # their values bring others along


def option(default: Any, text: str, *, low: float | None = None, choices: tuple = ()) -> Any:
    """A dataclass field with its help text, smallest value and choices."""
    metadata = {"help": text, "low": low, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """All that decides what a training run computes. Fields are documented by their help text."""

    dataset: str = option(
        "rvf10k",
        "rvf10k, rvf10k/CONFIG, the directory of a dataset that `tfds build` wrote; a folder or "
        ".zip with real/ and fake/ in it, alone or in train/ and valid/, or a .csv of paths and "
        "labels, built in --data_dir when it is first used; or sample: "
        f"drawn pictures, no download, with defaults of its own: {words(SAMPLE['xception'])}; "
        f"with --model=cnn {words(SAMPLE['cnn'])}",
    )
    data_dir: str | None = option(
        None, "Where TFDS keeps datasets; ~/tensorflow_datasets if not given."
    )
    folds: int = option(5, "Number of folds the dataset was built with.", low=2)
    max_examples: int | None = option(
        None, "Use at most this many training images, spread evenly over the shards.", low=1
    )
    stored_size: int | None = option(
        None,
        "Resize every image to this, once, when it is decoded: less to keep and to move, and "
        "images of any size; rounded to whole levels, which the saved model does not do. Not "
        "given: kept as they are, all of one size, and resized on the device.",
        low=32,
    )
    cache: str = option(
        "auto",
        "Where pixels live between epochs: device memory, ram, a raw file on disk beside the "
        "dataset, or none (decode every epoch); auto takes the first of these with room, device "
        "only on a GPU. Batches are the same, bit by bit.",
        choices=("auto", "none", "ram", "device", "disk"),
    )
    recipe: str = option(
        "default",
        "default: the schedule of this help. best: what scored best on RVF10K (measured in "
        "benchmarks/accuracy/README.md), everything trained on squares of the unresized image: "
        f"{words(RECIPES['best'])}. seed: the choices of the Kaggle notebook that this replaces, "
        "faults included (images in [0, 1], a second phase that never unfreezes the base); for its "
        "unstratified folds see tfds_rvf10k/README.md.",
        choices=tuple(RECIPES),
    )

    model: str = option(
        "xception",
        f"The network: {', '.join(NETWORKS)}; the same with _multilevel behind it, whose head "
        "sees the mean after every residual block and of the last activation, and by default is "
        f"all that is trained: {words(MULTILEVEL)}; anomaly, xception_multilevel that learns from "
        f"real images alone: {words(MODELS['anomaly'])}; cnn, four stages of convolution and "
        f"pooling and a dense layer, trained from scratch: {words(MODELS['cnn'])}; residual, a "
        "small network on differences of neighbouring pixels, from scratch: "
        f"{words(MODELS['residual'])}; or vit, DeiT's ViT-S/16, which needs pip install -e "
        "'.[vit]' and takes one size of image.",
        choices=tuple(MODELS),
    )
    weights: str = option("imagenet", "Of the base: imagenet, none, or a Keras .weights.h5 file.")
    image_size: int = option(
        224, "Both sides, in pixels, of what the network sees; resized on the device.", low=32
    )
    scaling: str = option(
        "symmetric",
        "Pixel range that the base is fed: symmetric is [-1, 1], what Xception, MobileNetV2 and "
        "ResNet50V2 were trained on; imagenet is less the mean and over the deviation of "
        "ImageNet's channels, what the others were and have as default; unit is [0, 1].",
        choices=("symmetric", "imagenet", "unit"),
    )
    head: str = option(
        "dense",
        "From features to logit: dense, the notebook's two layers of 256 and 128 with BatchNorm; "
        "hidden, one layer of 128; linear, logistic regression on standardised features; or, "
        "fitted on real images alone, how far from theirs features lie: mahalanobis, a distance in "
        "their 256 first components; pca, what these leave out; forest, how easily trees isolate "
        f"them. These three want {words(FITTED)}.",
        choices=("dense", "hidden", "linear", *ONE_CLASS),
    )
    fakes_lie: str = option(
        "inside",
        "Of a head fitted on real images: fakes are images too near to the middle of these, "
        "such as generators draw that keep to what is common (inside), or too far (outside). "
        "Real images cannot tell which; the default was chosen by looking at RVF10K's fakes.",
        choices=("inside", "outside"),
    )
    dropout: float = option(0.3, "Dropout rate of the head.", low=0.0)
    l2: float = option(1e-4, "L2 penalty on the head's kernels.", low=0.0)
    augment: bool = option(
        True, "Flip, brightness 0.2, contrast and saturation 0.8-1.2, hue 0.05, on the device."
    )
    augment_colour: bool = option(True, "Of the augmentation: false leaves only the flip.")
    augment_compression: bool = option(
        False, "Also blur one image in two, and take one in two through JPEG of quality 50 to 100."
    )
    crop_size: int = option(
        0,
        "Train on a square of so many pixels, drawn anew in every epoch from the image as resized "
        "to --image_size, and look at whole images otherwise. 0: train on whole images, too.",
        low=0,
    )

    batch_size: int = option(32, "Global batch size, over all replicas.", low=1)
    frozen_epochs: int = option(20, "Epochs of phase 1, the base frozen.", low=0)
    frozen_features: str = option(
        "live",
        "Phase 1: what the frozen base gives is computed in every epoch (live), or once for all "
        "folds and kept beside the dataset (cached): an epoch is then seconds, and of the "
        "augmentation only the flip is left.",
        choices=("live", "cached"),
    )
    frozen_lr: float = option(1e-3, "Learning rate of phase 1.", low=0.0)
    frozen_stop: int = option(10, "Phase 1: epochs without a better val_loss that end it.", low=1)
    frozen_plateau: int = option(
        4, "Phase 1: epochs without a better val_loss that halve the rate.", low=1
    )
    finetune_epochs: int = option(30, "Epochs of phase 2, everything trained.", low=0)
    finetune_lr: float = option(1e-5, "Learning rate of phase 2.", low=0.0)
    finetune_stop: int = option(15, "Phase 2: as --frozen_stop.", low=1)
    finetune_plateau: int = option(7, "Phase 2: as --frozen_plateau.", low=1)
    finetune_base: bool = option(True, "Phase 2 trains the base; false only in recipe seed.")
    freeze_blocks: int = option(
        0,
        "Blocks, from the image on, that stay frozen in phase 2 too; a block ends with each "
        "residual sum: Xception has 13, MobileNetV2 11, vit two for each of its own.",
        low=0,
    )
    layer_decay: float = option(
        1.0, "Phase 2: learning rate of such a block over that of the block behind it.", low=0.0
    )
    label_smoothing: float = option(
        0.0, "Train on this probability of the wrong class, halved, not on 0 and 1.", low=0.0
    )
    warmup: int = option(0, "Steps in which a phase's rate rises from 0.", low=0)
    decay: str = option(
        "plateau",
        "Of a phase's rate: by --lr_factor on a plateau of val_loss, or to 0 over all of its "
        "epochs, as a half cosine, with no early stop.",
        choices=("plateau", "cosine"),
    )
    lr_factor: float = option(0.5, "Factor of the learning rate on a plateau.", low=0.0)
    min_lr: float = option(1e-7, "Floor of the learning rate.", low=0.0)
    keep: str = option(
        "best",
        "The weights that a fold ends with: those of the epoch with the best val_loss, which "
        "chooses by the images that are scored then; or the last.",
        choices=("best", "last"),
    )
    temperature_scaling: bool = option(
        False,
        "Divide a fold's logits, once trained, by the number that fits its training images best, "
        "whole and not augmented, so that probabilities tell how often they are right (arXiv:"
        "1706.04599). Its decisions at 0.5 and AUC stay; val_loss in history.csv is from before.",
    )
    base_batchnorm: str = option(
        "inference",
        "In phase 2, BatchNorm of the base normalises with its stored statistics (inference), or "
        "with the batch's, and updates them (update). Its scale and offset train either way; "
        "ConvNeXt and vit have none.",
        choices=("inference", "update"),
    )
    head_batchnorm: str = option(
        "moving",
        "The head's BatchNorm normalises, once trained, with averages over training's batches "
        "(moving), or over up to 512 training images, whole and not augmented, after each epoch "
        "(precise; arXiv:2105.07576): the two differ where squares of images are trained on.",
        choices=("moving", "precise"),
    )
    batchnorm_momentum: float = option(0.99, "Of the base's BatchNorm, when it updates.", low=0.0)

    jit: str = option(
        "auto",
        "Compile the base by XLA, forward and backward. auto: on GPUs; on CPUs it is slower.",
        choices=("auto", "on", "off"),
    )
    seed: int = option(42, "Of weights, order, augmentation and dropout.", low=0)
    mixed_precision: bool = option(False, "bfloat16 where the device has it, else float16 on GPUs.")

    def __post_init__(self) -> None:
        for broken in rules.broken(self):
            raise UsageError(broken)


def resolve(given: Mapping[str, Any]) -> Config:
    """Returns the config of a run: defaults, the model's, the recipe's, the sample's, `given`.

    Args:
      given: what the user set, by field name.

    Raises:
      UsageError: a value out of range.
    """
    recipe = RECIPES.get(given.get("recipe", "default"), {})
    model = given.get("model", recipe.get("model", "xception"))
    sample = SAMPLE.get(model, {}) if given.get("dataset") == "sample" else {}
    fitted = {"head_batchnorm": "moving"} if given.get("head") in ONE_CLASS else {}  # has none
    brought = {**MODELS.get(model, {}), **recipe, **sample, **fitted}
    try:
        return Config(**{**brought, **given})
    except UsageError as error:
        named = set(re.findall(r"--(\w+)", str(error))) & (brought.keys() - given.keys())
        if not (theirs := {f"--{name}": brought[name] for name in sorted(named)}):
            raise
        origin = words({f"--{name}": given[name] for name in _BRING if name in given})
        raise UsageError(f"{error} ({words(theirs)} comes with {origin})") from None


def as_flags(config: Config) -> list[str]:
    """The command line that gives this config, every field of it."""
    flags = []
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no{name}")
        elif value is not None:
            flags.append(f"--{name}={value}")
    return flags
