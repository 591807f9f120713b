"""Climbs from the files to the training step and measures what every stage delivers."""

import dataclasses
import shutil
from collections.abc import Sequence

from dftk.config import Config
from dftk.data import raw_file, residency
from dftk.data.catalog import Shard
from dftk.perf import ceilings
from dftk.perf.input_rungs import InputRungs
from dftk.perf.step_rungs import StepRungs
from dftk.training.devices import Devices

STAGES = ("read", "parse", "decode", "batch", "cache", "transfer", "augment", "step")
_SAMPLE = 1024  # images that the stages work on


@dataclasses.dataclass(frozen=True)
class Rung:
    """One stage of the way from a file to a training step."""

    stage: str
    img_per_s: float  # of the path from its start through this stage
    own_s: float  # seconds per image that the stage adds to its path
    ceiling: str  # what it is held against
    ceiling_img_per_s: float


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the ladder found; times are seconds per image."""

    rungs: Sequence[Rung]  # in the order of STAGES
    residency: str
    on_accelerator: bool  # input and step run side by side; on a CPU they share its cores
    images: int  # of the run
    visits: float  # times that each is trained on in the run
    step_s: float  # training on one batch over and over
    real_s: float  # training on real input
    input_wait: float  # share of real_s
    double_batch_s: float  # training on one batch twice as large
    ram_s: float  # batches from RAM
    raw_s: float  # raw pixels at the speed of this machine's reads
    batch_size: int
    parallelism: dict[str, dict[str, float]]  # ours, and what tf.data's autotuner would choose

    def rung(self, stage: str) -> Rung:
        """The rung of a stage."""
        return self.rungs[STAGES.index(stage)]


def measure(
    config: Config, shards: Sequence[Shard], devices: Devices, kind: str, phase: str
) -> Measured:
    """Climbs all rungs on a part of a run's images; says each on stderr as it is reached.

    Args:
      config: of the run.
      shards: of its training images.
      devices: as chosen for it.
      kind: its residency.
      phase: "frozen" or "finetune".

    Raises:
      UserError: see dftk.data.residency, dftk.models.registry.
    """
    total = sum(shard.length for shard in shards)
    part = residency.limit(shards, max(_SAMPLE, len(shards)))
    raw = raw_file.folder(part, config.stored_size)
    before = raw.exists()
    try:
        source = InputRungs(config, part, kind, devices.replicas)
        steps = StepRungs(config, devices, source, phase)
        with source.examples.explained():
            return _climb(config, part, devices, kind, total, source, steps)
    finally:
        if not before:  # a raw file of a part of the images is of no use to a run
            shutil.rmtree(raw, ignore_errors=True)


def _climb(
    config: Config,
    shards: Sequence[Shard],
    devices: Devices,
    kind: str,
    total: int,
    source: InputRungs,
    steps: StepRungs,
) -> Measured:
    roofs = ceilings.measure(shards, source.examples.shape)
    through = {**source.cold(), "cache": source.cache()}
    through |= {"transfer": steps.transfer(), "augment": steps.augment()}
    step_s, real_s, wait = steps.train()
    through["step"] = 1 / real_s
    roofs["synthetic-input step"] = 1 / step_s
    kept = "decode_jpeg" if kind == "none" else "memory copy"
    against = [
        *("raw read", "raw read", "decode_jpeg", "decode_jpeg", kept),
        *("memory copy", "memory copy of floats", "synthetic-input step"),
    ]
    own = _own({stage: 1 / rate for stage, rate in through.items()}, step_s, kind)
    return Measured(
        rungs=[
            Rung(stage, through[stage], own[stage], roof, roofs[roof])
            for stage, roof in zip(STAGES, against)
        ],
        residency=kind,
        on_accelerator=devices.memory is not None,
        images=total,
        visits=(config.frozen_epochs + config.finetune_epochs) * (config.folds - 1),
        step_s=step_s,
        real_s=real_s,
        input_wait=wait,
        double_batch_s=steps.synthetic_s(2 * config.batch_size),
        ram_s=1 / source.ram(),
        raw_s=1 / min(roofs["raw read of pixels"], roofs["memory copy"]),
        batch_size=config.batch_size,
        parallelism=source.parallelism(),
    )


def _own(path_s: dict[str, float], step_s: float, kind: str) -> dict[str, float]:
    """What each stage adds to the seconds per image of the path before it."""
    before = {"parse": "read", "decode": "parse", "batch": "decode", "transfer": "cache"}
    own = {
        stage: max(0.0, path_s[stage] - (path_s[before[stage]] if stage in before else 0.0))
        for stage in STAGES
    }
    if kind == "none":
        own["cache"] = 0.0  # nothing is kept
    return {**own, "step": max(0.0, step_s - path_s["augment"])}
