"""Which stage a run waits for, and what a change would bring; arithmetic on what was measured."""

import dataclasses

from dftk.perf.ladder import STAGES, Measured

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
}
_REMEDIES = {
    "read": "faster or nearer storage, or --cache=ram",
    "parse": "--cache=ram: records are then parsed once",
    "decode": "--cache=ram or --cache=disk: images are then decoded once",
    "batch": "more free memory bandwidth, or a smaller --stored_size",
    "cache": "--cache=ram, or --cache=device on a GPU",
    "transfer": "--cache=device, or a smaller --stored_size",
    "augment": "a smaller --image_size, or --noaugment",
    "step": "a faster device, a smaller --image_size, or --mixed_precision",
}


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
    return 1 / found.rung("transfer").img_per_s


def cold_s(found: Measured) -> float:
    """Seconds per image of the first pass, from the files to where pixels are kept."""
    return 1 / found.rung("batch").img_per_s


def bottleneck(found: Measured) -> Bottleneck:
    """The stage that takes most of the side that the run waits for.

    Sides are the first pass over the files (once a run, unless nothing is kept), the input of an
    epoch, and the device's computation.
    """
    first_pass = found.images * cold_s(found)
    training = found.images * found.visits * found.real_s
    if found.residency != "none" and first_pass > training:
        stage = _largest(found, _COLD)
        why = f"the first pass takes {first_pass:.0f} s, all training after it {training:.0f} s"
    elif input_s(found) > found.step_s:
        kept = ("cache",) if found.residency != "none" else _COLD
        stage = _largest(found, (*kept, "transfer"))
        why = (
            f"input delivers {1 / input_s(found):,.0f} img/s, the device could train on "
            f"{1 / found.step_s:,.0f}; steps wait {found.input_wait:.0%} of their time"
        )
    else:
        stage = _largest(found, ("augment", "step"))
        why = (
            f"the device trains on {1 / found.step_s:,.0f} img/s, input could deliver "
            f"{1 / input_s(found):,.0f}; steps wait {found.input_wait:.1%} of their time"
        )
    sentence = f"{stage}: {_WORDS[stage]} binds ({why}); what helps: {_REMEDIES[stage]}."
    return Bottleneck(stage, sentence)


def _largest(found: Measured, stages: tuple[str, ...]) -> str:
    return max(stages, key=lambda stage: found.rung(stage).own_s)


def what_if(found: Measured) -> list[WhatIf]:
    """Predictions from the measured rates; input and step overlap on an accelerator, else add."""
    source, step = input_s(found), found.step_s
    onward = found.rung("transfer").own_s  # what comes after the cache stays

    def predict(change: str, source_s: float, step_s: float, reason: str) -> WhatIf:
        now = _combine(source, step, found.on_accelerator)
        then = _combine(source_s, step_s, found.on_accelerator)
        return WhatIf(change, now / then / found.real_s, now / then, reason)

    answers = []
    if found.on_accelerator:
        reason = "input twice as fast, the accelerator as before"
        answers.append(predict("twice the cores", source / 2, step, reason))
    else:
        reason = "input and step twice as fast, at best"
        answers.append(predict("twice the cores", source / 2, step / 2, reason))
    if found.residency in ("none", "disk"):
        reason = f"measured: {1 / found.ram_s:.0f} img/s from RAM"
        answers.append(predict("--cache=ram", found.ram_s + onward, step, reason))
    if found.residency == "none":
        reason = f"measured: raw pixels read at {1 / found.raw_s:.0f} img/s"
        answers.append(predict("--cache=disk", found.raw_s + onward, step, reason))
    reason = f"measured: {1 / found.double_batch_s:.0f} img/s on one batch of that size"
    change = f"--batch_size={2 * found.batch_size}"
    answers.append(predict(change, source, found.double_batch_s, reason))
    return answers


def _combine(source_s: float, step_s: float, side_by_side: bool) -> float:
    return max(source_s, step_s) if side_by_side else source_s + step_s
