"""Climbs from the files to the training step and measures what every stage delivers."""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dftk.input import pipeline, raw_file, residency
from dftk.input.shards import Shard
from dftk.perf import ceilings
from dftk.perf.frozen_stages import FrozenStages
from dftk.perf.input_stages import InputStages
from dftk.perf.step_stages import StepStages
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.utils import limits
from dftk.utils.errors import UserError

STAGES = ("read", "parse", "decode", "batch", "cache", "transfer", "augment", "step")
_SAMPLE = 1024  # images that the stages work on, at most,
_SAMPLE_CACHED = 512  # of which features are made, too,
_SAMPLE_SHARE = 0.05  # and of the free memory, for they are held up to three times


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of the way from a file to a training step."""

    stage: str
    img_per_s: float  # of the path from its start through this stage
    own_s: float  # seconds per image that the stage adds to its path
    ceiling: str  # what it is held against
    ceiling_img_per_s: float


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the ladder found; times are seconds per image."""

    stages: Sequence[Stage]  # in the order of STAGES
    residency: str
    on_accelerator: bool  # input and step run side by side; on a CPU they share its cores
    images: int  # of the run
    first_pass_s: float  # from the files to where pixels are kept, all images
    visits: float  # times that each passes through all stages in the run
    step_s: float  # training on one batch over and over
    real_s: float  # training on real input
    input_wait: float  # share of real_s
    double_batch_s: float  # training on one batch twice as large
    ram_s: float  # batches from RAM
    raw_s: float  # raw pixels at the speed of this machine's reads
    batch_size: int
    parallelism: dict[str, dict[str, float]]  # ours, and what tf.data's autotuner would choose
    # With --frozen_features=cached "step" makes features, in one visit or none; on them trains
    head: Stage | None = None
    head_visits: float = 0.0

    @property
    def steps_s(self) -> float:
        """Seconds of all steps of the run."""
        return self.images * self.visits * self.real_s

    @property
    def head_s(self) -> float:
        """Seconds of all training of the head on features."""
        return self.images * self.head_visits * self.head.own_s if self.head else 0.0

    def stage(self, stage: str) -> Stage:
        """The stage of a stage."""
        return self.stages[STAGES.index(stage)]


def measure(
    config: Config, shards: Sequence[Shard], devices: Devices, kind: str, phase: str
) -> Measured:
    """Climbs all stages on a part of a run's images; says each on stderr as it is reached.

    Args:
      config: of the run.
      shards: of its training images.
      devices: as chosen for it.
      kind: its residency.
      phase: "frozen" or "finetune".

    Raises:
      UserError: see dftk.input.residency, dftk.models.registry.
    """
    size = config.stored_size
    cached = phase == "frozen" and config.frozen_features == "cached"
    most = _SAMPLE_CACHED if cached else _SAMPLE
    part = residency.limit_examples(shards, max(_sample(shards, size, most), len(shards)))
    flag = "--frozen_features=cached" if cached else "--cache=disk" if kind == "disk" else None
    with _scratch(Path(shards[0].path).parent, flag) as folder:
        source = InputStages(config, part, kind, devices.replicas, folder / "dftk_pixels")
        with source.examples.translate_data_errors():
            if cached:
                frozen = FrozenStages(config, devices, source, folder / "dftk_features")
                measured = _climb(config, part, devices, kind, source, frozen)
                measured = _with_head(measured, config, frozen, shards)
            else:
                steps = StepStages(config, devices, source, phase)
                measured = _climb(config, part, devices, kind, source, steps)
    total = sum(shard.length for shard in shards)
    # A raw file from before is read, not written.
    written = kind != "disk" or not raw_file.cache_path(shards, size).exists()
    first_pass = total * written / measured.stage("batch").img_per_s
    return dataclasses.replace(measured, images=total, first_pass_s=first_pass)


def _with_head(
    found: Measured, config: Config, steps: FrozenStages, shards: Sequence[Shard]
) -> Measured:
    rate, ceiling = steps.head()
    return dataclasses.replace(
        found,
        visits=0 if steps.there(shards) else 1,
        head=Stage("head", rate, 1 / rate, "synthetic-input step", ceiling),
        head_visits=config.frozen.epochs * (config.folds - 1),
    )


def _sample(shards: Sequence[Shard], size: int | None, most: int) -> int:
    """How many images to measure on: enough, in memory that is there."""
    pixels = pipeline.open_records(shards, size).image_bytes
    return min(most, int(_SAMPLE_SHARE * limits.available_memory() / pixels))


@contextlib.contextmanager
def _scratch(beside: Path, flag: str | None) -> Iterator[Path]:
    """A folder on the dataset's disk for what the flag asks to keep there; goes away in the end."""
    if flag is None:
        yield beside  # never written
        return
    try:
        folder = tempfile.mkdtemp(prefix=".dftk_doctor_", dir=beside)
    except OSError as error:
        raise UserError(
            f"{beside}: cannot write there to measure {flag} ({error.strerror})"
        ) from None
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _climb(
    config: Config,
    shards: Sequence[Shard],
    devices: Devices,
    kind: str,
    source: InputStages,
    steps: StepStages,
) -> Measured:
    roofs = ceilings.measure(shards, source.examples.shape, config.model.image_size)
    through = {**source.cold(), "cache": source.cache()}
    through |= {"transfer": steps.transfer(), "augment": steps.augment()}
    step_s, real_s, wait = steps.train()
    through["step"] = 1 / real_s
    roofs["synthetic-input step"] = 1 / step_s
    kept = "decode_jpeg" if kind == "none" else "memory copy"
    against = [
        *("raw read", "raw read", "decode_jpeg", "decode_jpeg", kept, kept),
        *("memory copy of floats", "synthetic-input step"),
    ]
    own = _own({stage: 1 / rate for stage, rate in through.items()}, step_s, kind)
    return Measured(
        stages=[
            Stage(stage, through[stage], own[stage], roof, roofs[roof])
            for stage, roof in zip(STAGES, against)
        ],
        residency=kind,
        on_accelerator=devices.memory is not None,
        images=len(source.rows),
        first_pass_s=len(source.rows) / through["batch"],
        visits=(config.frozen.epochs + config.finetune.epochs) * (config.folds - 1),
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
