"""Which stage a run waits for, and what a change would bring; arithmetic on what was measured."""

import dataclasses

from dftk.perf.stages import STAGES, Measured

_COLD = STAGES[:4]
_WORDS = {
    "read": "reading files",
    "parse": "parsing records",
    "decode": "decoding JPEGs",
    "batch": "putting decoded images where they are kept",
    "cache": "making batches from where pixels are kept",
    "transfer": "bringing batches to the device",
    "augment": "scaling and augmenting on the device",
    "step": "the network's own computation",
    "head": "training the head on kept features",
}
_EVERY_TIME = "finding records and putting images together, in every epoch,"
_FIRST_PASS = "--cache=disk: later runs find the pixels there"
_REMEDIES = {
    "read": "storage that is faster or nearer",
    "parse": "more cores",
    "decode": "more cores",
    "batch": "more cores, or a smaller --stored_size",
    "cache": "a smaller --stored_size",
    "transfer": "a smaller --stored_size",
    "augment": "a smaller --image_size, or --noaugment where it is on",
    "step": "a faster device, a smaller --image_size, or --mixed_precision where it is off",
    "head": "a bigger --batch_size, or fewer --frozen_epochs",
}
_TRAINS = ("trains on", "all training")
_KEEP = "--cache=ram, or --cache=disk where memory is short: images are then decoded once"


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """The stage that binds, and the sentence that says so."""

    stage: str
    sentence: str


@dataclasses.dataclass(frozen=True)
class WhatIf:
    """A change, and the training speed that the measured rates predict for it."""

    change: str
    img_per_s: float
    gain: float  # times faster than now
    reason: str


def input_s(found: Measured) -> float:
    """Seconds per image of making batches and bringing them to the device."""
    return 1 / found.stage("transfer").img_per_s


def bottleneck(found: Measured) -> Bottleneck:
    """The stage that takes most of the side that the run waits for.

    Sides are the first pass over the files (once a run, unless nothing is kept), the input of an
    epoch, and the device's computation; where features are kept, making them is the one epoch, and
    training the head on them another side.
    """
    first_pass = found.first_pass_s if found.residency != "none" else 0.0
    does, rest = ("makes features of", "making features") if found.head else _TRAINS
    helps = ""
    if found.head_s > max(first_pass, found.steps_s):
        stage = "head"
        why = f"it takes {found.head_s:.1f} s in all folds, {rest} {found.steps_s:.1f} s"
    elif first_pass > found.steps_s:
        stage = _largest(found, _COLD)
        why = (
            f"the first pass takes {found.first_pass_s:.1f} s, {rest} after it "
            f"{found.steps_s:.1f} s"
        )
        helps = _FIRST_PASS if found.residency != "disk" else ""
    elif input_s(found) > found.step_s:
        kept = ("cache",) if found.residency != "none" else _COLD
        stage = _largest(found, (*kept, "transfer"))
        helps = "" if found.head else _other_cache(found, stage)
        why = (
            f"input delivers {1 / input_s(found):,.0f} img/s, without waiting the device {does} "
            f"{1 / found.step_s:,.0f}; steps wait {found.input_wait:.0%} of their time"
        )
    else:
        stage = _largest(found, ("augment", "step"))
        why = (
            f"the device {does} {1 / found.step_s:,.0f} img/s, input could deliver "
            f"{1 / input_s(found):,.0f}; steps wait {found.input_wait:.1%} of their time"
        )
    helps = f"{helps}; or {_REMEDIES[stage]}" if helps else _REMEDIES[stage]
    words = _EVERY_TIME if (found.residency, stage) == ("none", "batch") else _WORDS[stage]
    sentence = f"{stage}: {words} binds ({why}); what helps: {helps}."
    return Bottleneck(stage, sentence)


def _other_cache(found: Measured, stage: str) -> str:
    """The --cache that helps a stage of every epoch, if one does."""
    if found.residency == "none" and stage != "transfer":
        return _KEEP
    if found.residency == "disk" and stage == "cache":
        return "--cache=ram"
    on_device = found.residency in ("ram", "disk") and found.on_accelerator
    return "--cache=device" if on_device else ""


def _largest(found: Measured, stages: tuple[str, ...]) -> str:
    return max(stages, key=lambda stage: found.stage(stage).own_s)


def what_if(found: Measured) -> list[WhatIf]:
    """Predictions from the measured rates; on an accelerator input and step overlap.

    Of more cores they give bounds only: how far each stage scales was not measured. Where features
    are kept, the speed is that of making them, once: no --cache changes it much.
    """
    source, step = input_s(found), found.step_s
    onward = found.stage("transfer").own_s  # what comes after the cache stays

    def predict(change: str, source_s: float, step_s: float, reason: str) -> WhatIf:
        if found.on_accelerator:
            then = max(source_s, step_s)
        else:  # what input takes from the step now, measured, grows and shrinks with it
            then = step_s + max(0.0, found.real_s - step) * source_s / source
        return WhatIf(change, 1 / then, found.real_s / then, reason)

    answers = []
    batches = source - onward  # cores make batches faster, and not the way to the device
    if found.on_accelerator:
        reason = "making batches at most twice as fast, the rest as before"
        answers.append(predict("twice the cores", batches / 2 + onward, step, reason))
    else:
        reason = "an upper bound: all of it twice as fast"
        answers.append(predict("twice the cores", source / 2, step / 2, reason))
    if found.residency in ("none", "disk") and not found.head:
        reason = f"measured: {1 / found.ram_s:.0f} img/s from RAM"
        answers.append(predict("--cache=ram", found.ram_s + onward, step, reason))
    if found.residency == "none" and not found.head:
        reason = f"from this storage's reads: {1 / found.raw_s:.0f} img/s, in order"
        answers.append(predict("--cache=disk", found.raw_s + onward, step, reason))
    reason = f"measured: {1 / found.double_batch_s:.0f} img/s on one batch of that size"
    change = f"--batch_size={2 * found.batch_size}"
    answers.append(predict(change, source, found.double_batch_s, reason))
    return answers
