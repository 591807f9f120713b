"""Measures what every stage delivers, from the files to the training step."""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dftk.input import pipeline, raw_file, residency
from dftk.input.shards import Shard
from dftk.perf import ceilings
from dftk.perf.frozen_stages import FrozenStages
from dftk.perf.input_stages import InputStages
from dftk.perf.measurements import STAGES, Measurements, Stage
from dftk.perf.step_stages import StepStages
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.utils import limits
from dftk.utils.errors import UserError

_SAMPLE = 1024  # images to measure on, at most
_SAMPLE_CACHED = 512  # the same where their features are made, too
_SAMPLE_SHARE = 0.05  # of the free memory, for pixels are held up to three times
_PREVIOUS = {"parse": "read", "decode": "parse", "batch": "decode", "transfer": "cache"}
_STEP_CEILING = "synthetic-input step"


def measure(
    config: Config, shards: Sequence[Shard], devices: Devices, kind: str, phase: str
) -> Measurements:
    """Measures all stages on some of a run's images; says each rate on stderr at once.

    Args:
      config: of the run.
      shards: of its training images.
      devices: as chosen for it.
      kind: where it keeps pixels: none, ram, device or disk.
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
                found = measure_stages(config, part, devices, kind, source, frozen)
                found = _with_head(found, config, frozen, shards)
            else:
                steps = StepStages(config, devices, source, phase)
                found = measure_stages(config, part, devices, kind, source, steps)
    total = sum(shard.length for shard in shards)
    # A raw file of an earlier run is read, not written.
    written = kind != "disk" or not raw_file.cache_path(shards, size).exists()
    first_pass_s = total * written / found.stage("batch").img_per_s
    return dataclasses.replace(found, images=total, first_pass_s=first_pass_s)


def measure_stages(
    config: Config,
    shards: Sequence[Shard],
    devices: Devices,
    kind: str,
    source: InputStages,
    steps: StepStages,
) -> Measurements:
    """Measures all stages and their ceilings, for a run on just these images.

    Args:
      config, devices, kind: see `measure`.
      shards: of the images to measure on.
      source: of these images.
      steps: on the source's batches.
    """
    rates = ceilings.measure(shards, source.examples.shape, config.model.image_size)
    through = {**source.first_pass(), "cache": source.cache()}
    through |= {"transfer": steps.transfer(), "augment": steps.augment()}
    trained = steps.train()
    through["step"] = 1 / trained.real_s
    rates[_STEP_CEILING] = 1 / trained.synthetic_s
    own_s = _own_s({stage: 1 / rate for stage, rate in through.items()}, trained.synthetic_s, kind)
    compared = _ceiling_names(kind)
    return Measurements(
        stages=[
            Stage(
                stage=stage,
                img_per_s=through[stage],
                own_s=own_s[stage],
                ceiling=compared[stage],
                ceiling_img_per_s=rates[compared[stage]],
            )
            for stage in STAGES
        ],
        residency=kind,
        on_accelerator=devices.memory is not None,
        images=len(source.rows),
        first_pass_s=len(source.rows) / through["batch"],
        visits=(config.frozen.epochs + config.finetune.epochs) * (config.folds - 1),
        step_s=trained.synthetic_s,
        real_s=trained.real_s,
        input_wait=trained.input_wait,
        double_batch_s=steps.synthetic_s(2 * config.batch_size),
        ram_s=1 / source.cache_in_ram(),
        raw_s=1 / min(rates["raw read of pixels"], rates["memory copy"]),
        batch_size=config.batch_size,
        parallelism=source.parallelism(),
    )


def _with_head(
    found: Measurements, config: Config, steps: FrozenStages, shards: Sequence[Shard]
) -> Measurements:
    """Adds the training of the head on cached features."""
    head = steps.train_head()
    return dataclasses.replace(
        found,
        visits=0 if steps.features_exist(shards) else 1,
        head=Stage("head", 1 / head.real_s, head.real_s, _STEP_CEILING, 1 / head.synthetic_s),
        head_visits=config.frozen.epochs * (config.folds - 1),
    )


def _sample(shards: Sequence[Shard], size: int | None, most: int) -> int:
    """Returns how many images to measure on: as many as fit the free memory, and at most `most`."""
    image_bytes = pipeline.open_records(shards, size).image_bytes
    return min(most, int(_SAMPLE_SHARE * limits.available_memory() / image_bytes))


@contextlib.contextmanager
def _scratch(beside: Path, flag: str | None) -> Iterator[Path]:
    """Gives a temporary folder on the dataset's disk for what the flag keeps there."""
    if flag is None:
        yield beside  # nothing is written
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


def _ceiling_names(kind: str) -> dict[str, str]:
    """Returns the name of the ceiling that each stage is compared with."""
    kept = "decode_jpeg" if kind == "none" else "memory copy"
    return {
        "read": "raw read",
        "parse": "raw read",
        "decode": "decode_jpeg",
        "batch": "decode_jpeg",
        "cache": kept,
        "transfer": kept,
        "augment": "memory copy of floats",
        "step": _STEP_CEILING,
    }


def _own_s(path_s: Mapping[str, float], step_s: float, kind: str) -> dict[str, float]:
    """Returns what each stage adds to the seconds per image of the path before it."""
    own_s = {
        stage: max(0.0, path_s[stage] - (path_s[_PREVIOUS[stage]] if stage in _PREVIOUS else 0.0))
        for stage in STAGES
    }
    if kind == "none":
        own_s["cache"] = 0.0  # no pixels are kept
    return {**own_s, "step": max(0.0, step_s - path_s["augment"])}
