"""Measures one run, set up as its training would be, and diagnoses it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from dftk.datasets import catalog
from dftk.input import residency
from dftk.perf import findings, stages
from dftk.training.config import Config
from dftk.training.devices import devices as devices_lib
from dftk.utils.errors import UsageError, UserError
from dftk.utils.progress import say


def examine(config: Config, phase: str | None, profile: str | None) -> dict[str, Any]:
    """Measures all stages of a run and finds the bottleneck.

    Args:
      config: of the run.
      phase: whose step is measured, "frozen" or "finetune"; None takes the run's last one.
      profile: folder for a TensorBoard trace, or None.

    Returns:
      see findings.collect.

    Raises:
      UsageError: a head that is fitted, which has no training step.
      UserError: whatever would stop the training.
    """
    if config.head.is_fitted:
        raise UsageError(
            f"--head={config.head.kind}: this head is fitted, so there is no training step to "
            "measure; --model=xception_multilevel --head=linear has the same base and input"
        )
    devices = devices_lib.choose(config)
    dataset = catalog.open_dataset(
        config.dataset, config.data_dir, config.folds, any_size=config.stored_size is not None
    )
    shards = residency.limit_examples(dataset.train, config.max_examples)
    where = residency.choose_residency(
        config.cache, shards, size=config.stored_size, device_memory=devices.memory
    )
    phase = phase or ("finetune" if config.finetune.epochs else "frozen")
    say(f"{dataset.name}, {devices.description}; cache: {where.kind}, {where.reason}")
    trace = _profile(profile) if profile else contextlib.nullcontext()
    with trace:
        measured = stages.measure(config, shards, devices, where.kind, phase)
    return findings.collect(
        measured,
        {
            "dataset": dataset.name,
            "images": measured.images,
            "device": devices.description,
            "residency": where.kind,
            "reason": where.reason,
            "phase": phase,
            "features": config.frozen_features if phase == "frozen" else "live",
            "batch_size": config.batch_size,
            "image_size": config.model.image_size,
        },
    )


@contextlib.contextmanager
def _profile(folder: str) -> Iterator[None]:
    """Runs TensorFlow's profiler around the block; the trace goes to the folder."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--profile={folder}: cannot write there ({error.strerror})") from None
    tf.profiler.experimental.start(folder)
    try:
        yield
    finally:
        tf.profiler.experimental.stop()
    say(f"trace: tensorboard --logdir={folder}, with tensorboard-plugin-profile installed")


def check_writable(files: Sequence[Path]) -> None:
    """Checks that files can be written before minutes of measuring, not after.

    Raises:
      UserError: a file that cannot be written.
    """
    for file in files:
        try:
            file.open("a").close()
        except OSError as error:
            raise UserError(f"{file}: cannot write it ({error.strerror})") from None
