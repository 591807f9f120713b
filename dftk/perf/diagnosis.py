"""Which stage a run waits for, and what a change would bring: arithmetic on the measurements."""

import dataclasses

from dftk.perf.measurements import FIRST_PASS, Measurements

_WORK = {
    "read": "reading files",
    "parse": "parsing records",
    "decode": "decoding JPEGs",
    "batch": "putting decoded images where they are kept",
    "cache": "making batches from where pixels are kept",
    "transfer": "bringing batches to the device",
    "augment": "scaling and augmenting on the device",
    "step": "the network's own computation",
    "head": "training the head on cached features",
}
_BATCH_WITHOUT_CACHE = "finding records and putting images together, in every epoch,"
_FIRST_PASS_REMEDY = "--cache=disk: later runs find the pixels there"
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
_CACHE_REMEDY = "--cache=ram, or --cache=disk where memory is short: images are then decoded once"


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """The stage that limits the speed, and the sentence that says so."""

    stage: str
    sentence: str


@dataclasses.dataclass(frozen=True)
class WhatIf:
    """A change, and the training speed that the measured rates predict for it.

    Attributes:
      change: a flag, or more hardware.
      img_per_s: predicted training speed.
      gain: how many times faster than now.
      reason: what the prediction rests on.
    """

    change: str
    img_per_s: float
    gain: float
    reason: str


def bottleneck(found: Measurements) -> Bottleneck:
    """Finds the slowest stage of the part of the run that takes longest.

    The parts are the first pass over the files (once in a run, unless no pixels are kept), the
    input of an epoch, and the computation on the device. With cached features, making them is the
    only epoch, and training the head on them is a fourth part.
    """
    first_pass_s = found.first_pass_s if found.residency != "none" else 0.0
    if found.head_s > max(first_pass_s, found.steps_s):
        return _head_bottleneck(found)
    if first_pass_s > found.steps_s:
        return _first_pass_bottleneck(found)
    if found.input_s > found.step_s:
        return _input_bottleneck(found)
    return _device_bottleneck(found)


def _head_bottleneck(found: Measurements) -> Bottleneck:
    why = f"it takes {found.head_s:.1f} s in all folds, making features {found.steps_s:.1f} s"
    return _bottleneck(found, "head", why)


def _first_pass_bottleneck(found: Measurements) -> Bottleneck:
    then = "making features" if found.head else "all training"
    why = f"the first pass takes {found.first_pass_s:.1f} s, {then} after it {found.steps_s:.1f} s"
    remedy = _FIRST_PASS_REMEDY if found.residency != "disk" else ""
    return _bottleneck(found, _slowest(found, FIRST_PASS), why, remedy)


def _input_bottleneck(found: Measurements) -> Bottleneck:
    batches = ("cache",) if found.residency != "none" else FIRST_PASS
    stage = _slowest(found, (*batches, "transfer"))
    does = "makes features of" if found.head else "trains on"
    why = (
        f"input delivers {1 / found.input_s:,.0f} img/s, without waiting the device {does} "
        f"{1 / found.step_s:,.0f}; steps wait {found.input_wait:.0%} of their time"
    )
    return _bottleneck(found, stage, why, "" if found.head else _other_cache(found, stage))


def _device_bottleneck(found: Measurements) -> Bottleneck:
    does = "makes features of" if found.head else "trains on"
    why = (
        f"the device {does} {1 / found.step_s:,.0f} img/s, input could deliver "
        f"{1 / found.input_s:,.0f}; steps wait {found.input_wait:.1%} of their time"
    )
    return _bottleneck(found, _slowest(found, ("augment", "step")), why)


def _bottleneck(found: Measurements, stage: str, why: str, remedy: str = "") -> Bottleneck:
    """Writes the sentence; `remedy` comes before the one that the stage always has."""
    work = _WORK[stage]
    if (found.residency, stage) == ("none", "batch"):
        work = _BATCH_WITHOUT_CACHE
    remedies = f"{remedy}; or {_REMEDIES[stage]}" if remedy else _REMEDIES[stage]
    return Bottleneck(stage, f"{stage}: {work} takes longest ({why}); what helps: {remedies}.")


def _other_cache(found: Measurements, stage: str) -> str:
    """Returns the --cache that makes a stage of every epoch faster, or ""."""
    if found.residency == "none" and stage != "transfer":
        return _CACHE_REMEDY
    if found.residency == "disk" and stage == "cache":
        return "--cache=ram"
    on_device = found.residency in ("ram", "disk") and found.on_accelerator
    return "--cache=device" if on_device else ""


def _slowest(found: Measurements, stages: tuple[str, ...]) -> str:
    return max(stages, key=lambda stage: found.stage(stage).own_s)


def what_if(found: Measurements) -> list[WhatIf]:
    """Predicts the speed after changes, from the measured rates.

    On an accelerator input and step overlap. For more cores the prediction is an upper bound: how
    far each stage scales was not measured. With cached features the speed is that of making them,
    once: no --cache changes it much.
    """
    source_s, step_s = found.input_s, found.step_s
    transfer_s = found.stage("transfer").own_s  # comes after the cache, whichever that is
    batches_s = source_s - transfer_s  # more cores speed this up, and not the transfer

    def predict(change: str, source_s: float, step_s: float, reason: str) -> WhatIf:
        if found.on_accelerator:
            then = max(source_s, step_s)
        else:  # the time that input takes from the step was measured, and scales with input's own
            then = step_s + max(0.0, found.real_s - found.step_s) * source_s / found.input_s
        return WhatIf(change, 1 / then, found.real_s / then, reason)

    answers = []
    if found.on_accelerator:
        reason = "making batches at most twice as fast, the rest as before"
        answers.append(predict("twice the cores", batches_s / 2 + transfer_s, step_s, reason))
    else:
        reason = "an upper bound: all of it twice as fast"
        answers.append(predict("twice the cores", source_s / 2, step_s / 2, reason))
    if found.residency in ("none", "disk") and not found.head:
        reason = f"measured: {1 / found.ram_s:.0f} img/s from RAM"
        answers.append(predict("--cache=ram", found.ram_s + transfer_s, step_s, reason))
    if found.residency == "none" and not found.head:
        reason = f"from this storage's reads: {1 / found.raw_s:.0f} img/s, in order"
        answers.append(predict("--cache=disk", found.raw_s + transfer_s, step_s, reason))
    reason = f"measured: {1 / found.double_batch_s:.0f} img/s on one batch of that size"
    change = f"--batch_size={2 * found.batch_size}"
    answers.append(predict(change, source_s, found.double_batch_s, reason))
    return answers
