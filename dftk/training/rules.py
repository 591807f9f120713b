"""Values of flags that no run could use, or that a run would ignore.

Each broken rule is one line with the flags at fault and a remedy.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from dftk.models.backbones.catalog import ARCHITECTURES, FITTED, MODELS
from dftk.models.config import HEADS_WITH_BATCHNORM, ONE_CLASS_HEADS
from dftk.utils.option import Flag, as_words

Values = Mapping[str, Any]  # by flag

_BELOW_ONE = ("dropout", "lr_factor", "batchnorm_momentum", "label_smoothing")
_PLATEAU_FLAGS = ("lr_factor", "min_lr", "frozen_stop", "frozen_plateau", "finetune_stop",
                  "finetune_plateau")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Violation:
    """A broken rule.

    Attributes:
      text: one line with the flags, their values and the remedy.
      flags: names of the flags whose values together break the rule.
    """

    text: str
    flags: tuple[str, ...]


def violations(flags: Sequence[Flag], values: Values) -> Iterator[Violation]:
    """Yields the rules that values break, whoever set them.

    Args:
      flags: of a config.
      values: of all of them.
    """
    yield from _out_of_range(flags, values)
    yield from _of_model(values)
    if size_multiple := _architecture(values).size_multiple:
        yield from _of_one_size(values, size_multiple)
    yield from _of_head(values)
    if values["frozen_epochs"] + values["finetune_epochs"] == 0:
        yield Violation(
            "--frozen_epochs=0 --finetune_epochs=0: nothing to train; give one of them epochs",
            ("frozen_epochs", "finetune_epochs"),
        )


def _architecture(values: Values) -> Any:
    return ARCHITECTURES[MODELS[values["model"]].architecture]


def _out_of_range(flags: Sequence[Flag], values: Values) -> Iterator[Violation]:
    for flag in flags:
        name, value = flag.name, values[flag.name]
        if flag.choices and value not in flag.choices:
            yield Violation(f"--{name}={value}: choose from {list(flag.choices)}", (name,))
        if flag.low is not None and value is not None:
            if not value >= flag.low:
                yield Violation(f"--{name}={value}: must be at least {flag.low}", (name,))
            if value == float("inf"):
                yield Violation(f"--{name}={value}: must be finite", (name,))
    if values["seed"] >= 2**32:  # what Keras takes
        yield Violation(f"--seed={values['seed']}: must be below 2**32", ("seed",))
    if (size := values["stored_size"]) and size > 4096:
        yield Violation(f"--stored_size={size}: must be at most 4096", ("stored_size",))
    for name in _BELOW_ONE:
        if not values[name] < 1:
            yield Violation(f"--{name}={values[name]}: must be below 1", (name,))


def _of_model(values: Values) -> Iterator[Violation]:
    model, size, crop = values["model"], values["image_size"], values["crop_size"]
    if crop > size:
        yield Violation(
            f"--crop_size={crop}: must be at most --image_size={size}; 0 is the whole image",
            ("crop_size", "image_size"),
        )
    if 0 < crop < 32:
        yield Violation(
            f"--crop_size={crop}: must be at least 32; 0 is the whole image", ("crop_size",)
        )
    if values["weights"] == "imagenet" and not _architecture(values).pretrained:
        yield Violation(
            f"--weights=imagenet: {model} has none; give --weights=none or a file",
            ("weights", "model"),
        )
    if values["recipe"] == "seed" and model != "xception":
        yield Violation(
            f"--recipe=seed --model={model}: the notebook's was xception; leave out one of the two",
            ("recipe", "model"),
        )
    if model == "residual" and (scaling := values["scaling"]) != "symmetric":
        yield Violation(
            f"--scaling={scaling} --model=residual: it takes pixels in [-1, 1]; give "
            "--scaling=symmetric",
            ("scaling", "model"),
        )


def _of_one_size(values: Values, multiple: int) -> Iterator[Violation]:
    model, size, crop = values["model"], values["image_size"], values["crop_size"]
    if size % multiple:
        yield Violation(
            f"--image_size={size} --model={model}: must be a multiple of {multiple}",
            ("image_size", "model"),
        )
    if values["weights"] == "imagenet" and size != 224:  # a network of patches
        yield Violation(
            f"--image_size={size} --model={model}: its ImageNet weights are for 224; give "
            "--image_size=224 or --weights=none",
            ("image_size", "model", "weights"),
        )
    if crop not in (0, size):
        yield Violation(
            f"--crop_size={crop} --model={model}: it takes images of one size, in training and "
            "after it; give --crop_size=0, or another --model",
            ("crop_size", "model"),
        )


def _of_head(values: Values) -> Iterator[Violation]:
    head = values["head"]
    if values["model"] == "anomaly" and head not in ONE_CLASS_HEADS:
        yield Violation(
            f"--head={head} --model=anomaly: needs fakes; give one of {list(ONE_CLASS_HEADS)}",
            ("head", "model"),
        )
    if values["head_batchnorm"] == "precise" and head not in HEADS_WITH_BATCHNORM:
        yield Violation(
            f"--head={head} --head_batchnorm=precise: it has no BatchNorm; give one of "
            f"{list(HEADS_WITH_BATCHNORM)}, or --head_batchnorm=moving",
            ("head", "head_batchnorm"),
        )
    if head not in ONE_CLASS_HEADS:
        return
    for name, value in {**FITTED, "label_smoothing": 0.0, "temperature_scaling": False}.items():
        if values[name] != value:
            yield Violation(
                f"--head={head} --{name}={values[name]}: it is fitted once, on features of "
                f"unchanged images; give {as_words({f'--{name}': value})}",
                ("head", name),
            )


def of_no_phase(values: Values, given: Collection[str]) -> Iterator[str]:
    """Yields a line for each given flag of a phase without epochs.

    Such a flag is no error: one list of flags may serve schedules of one phase and of two.

    Args:
      values: of all flags.
      given: names of the flags that the user gave.
    """
    for phase in ("frozen", "finetune"):
        if not values[f"{phase}_epochs"]:
            for name in (f"{phase}_lr", f"{phase}_stop", f"{phase}_plateau"):
                if name in given:
                    yield f"--{name}={values[name]} has no effect: --{phase}_epochs=0"


def ignored(values: Values, defaults: Values, given: Collection[str]) -> Iterator[Violation]:
    """Yields flags that a user changed and that the run would ignore.

    In an ablation such a flag would look like a finding. Values that a model, a recipe or the
    sample brings along are no choice of the user's, and may be without effect.

    Args:
      values: of all flags.
      defaults: of all flags.
      given: names of the flags that the user gave.
    """
    for name, why in _ignored(values):
        value = values[name]
        if name in given and value != defaults[name]:
            shown = f"--{name}" if value is True else f"--{name}={value}"
            yield Violation(f"{shown}: has no effect here: {why}", (name,))


def _ignored(values: Values) -> Iterator[tuple[str, str]]:
    """Yields flags without effect, each with the reason and the remedy."""
    if values["augment_compression"] and not values["augment"]:
        yield "augment_compression", "--noaugment turns all augmentation off; give --augment"
    cached = values["frozen_features"] == "cached" and values["frozen_epochs"]
    if cached and not values["finetune_epochs"]:
        for name in ("crop_size", "augment_compression"):
            yield (
                name,
                "--frozen_features=cached trains on features of whole images; give "
                "--frozen_features=live",
            )
    if values["head"] not in ONE_CLASS_HEADS:
        yield (
            "fakes_lie",
            f"it is for heads fitted on real images; give --head={ONE_CLASS_HEADS[0]}",
        )
    trains_base = values["finetune_epochs"] and values["finetune_base"]
    if not trains_base:
        for name in ("freeze_blocks", "layer_decay"):
            yield name, "no second phase trains the base; give --finetune_epochs"
    if not trains_base or values["base_batchnorm"] == "inference":
        yield (
            "batchnorm_momentum",
            "the stored statistics of the base's BatchNorm do not change; give "
            "--base_batchnorm=update and --finetune_epochs",
        )
    if values["decay"] == "cosine":
        for name in _PLATEAU_FLAGS:
            yield name, "--decay=cosine has no plateaus and no early stop; give --decay=plateau"
