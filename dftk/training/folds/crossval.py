"""Training folds in one process: dataset and model are opened once for all of them."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dftk.datasets import catalog
from dftk.input import batches, residency
from dftk.input.shards import Shard
from dftk.models import registry
from dftk.runs.environment import environment
from dftk.runs.workdir import CHANGEABLE_FIELDS, HISTORY_COLUMNS, PREDICTION_COLUMNS, Workdir
from dftk.training import schedule
from dftk.training.config import Config
from dftk.training.devices import devices as devices_lib
from dftk.training.execution import ExecutionOptions
from dftk.training.folds.fitting import OneClassTrainer
from dftk.training.folds.fold import FoldTrainer
from dftk.training.folds.history import FoldResult
from dftk.training.resume import interruption
from dftk.training.resume.checkpoint import Checkpoints
from dftk.training.step.context import TrainingContext
from dftk.training.step.profile import StepProfile
from dftk.training.step.stop_check import StopCheck
from dftk.utils.errors import UserError
from dftk.utils.files import replacing, write_csv, write_json
from dftk.utils.progress import Progress, say


def train_folds(
    config: Config, folds: Sequence[int], workdir: Workdir, options: ExecutionOptions
) -> None:
    """Trains the folds that the workdir does not hold yet. Writes their folders and no report.

    Args:
      config: of the run.
      folds: indices, each below config.folds.
      workdir: created if it does not exist; may hold folds of the same run.
      options: of the execution; they never change results.

    Raises:
      Interrupted: by a signal; what is trained is saved.
      UserError: see dftk.datasets.catalog, dftk.input.residency, dftk.models.registry,
        Workdir.open, FoldTrainer.run.
    """
    with interruption.catch_signals() as request:
        _train_folds(config, folds, workdir, options, request)


def _train_folds(
    config: Config,
    folds: Sequence[int],
    workdir: Workdir,
    options: ExecutionOptions,
    request: interruption.StopRequest,
) -> None:
    devices = devices_lib.choose(config)
    dataset, record = describe(config)
    todo = [fold for fold in folds if not workdir.is_finished(fold)]
    identity = _identity(record)
    _require_same_run(devices, config, options, todo, identity)
    shards, where = None, None
    if todo:
        shards = residency.limit_examples(dataset.train, config.max_examples)
        where = residency.choose_residency(
            config.cache, shards, size=config.stored_size, device_memory=devices.memory
        )
        record["residency"] = dataclasses.asdict(where)
        _check_warmup(config, shards, todo, devices.replicas)
    workdir.open({**record, **environment(devices.description)}, write=devices.chief)
    if shortfall := dataset.shortfall("train"):
        say(f"note: {shortfall}")
    say(f"{dataset.name}, {devices.description}, workdir {workdir.path}")
    if done := [fold for fold in folds if fold not in todo]:
        for fold in done:
            if devices.chief:
                workdir.remove_leftovers(fold)
        say(f"already trained in this workdir: fold {', '.join(map(str, done))}")
    if shards is None or where is None:
        return
    say(f"cache: {where.kind}, {where.reason}")
    with devices.strategy.scope():  # before images are read: faulty weights show at once
        detector = registry.build(config, devices.policy, devices.replicas > 1)
    examples = _load(shards, where.kind, config.stored_size)
    profile = StepProfile(options.profile_steps, workdir.path / "tensorboard")
    with contextlib.closing(profile), examples.translate_data_errors():
        context = TrainingContext.create(
            config=config,
            devices=devices,
            detector=detector,
            examples=examples,
            check_stop=StopCheck(devices, request),
        )
        trainer: OneClassTrainer | FoldTrainer
        if config.head.is_fitted:
            trainer = OneClassTrainer(context)
        else:
            trainer = FoldTrainer(
                context, folds=len(todo), save_steps=options.checkpoint_steps, profile=profile
            )
        _train_each(trainer, todo, workdir, devices, identity)


def _require_same_run(
    devices: devices_lib.Devices,
    config: Config,
    options: ExecutionOptions,
    todo: Sequence[int],
    identity: str,
) -> None:
    """Raises UserError if not all workers train the same folds of the same run alike."""
    first, last = options.profile_steps or (0, 0)
    numbers = [int(identity[:12], 16), options.checkpoint_steps or 0, first, last]
    numbers += [fold in todo for fold in range(config.folds)]
    devices.require_same(
        numbers, "flags, dataset and --workdir, which must be one folder that all of them share"
    )


def _check_warmup(
    config: Config, shards: Sequence[Shard], folds: Sequence[int], replicas: int
) -> None:
    """Raises UsageError if a phase of a fold is shorter than its warm-up.

    This comes before features of the frozen base are computed, which may take an hour.
    """
    if config.head.is_fitted:
        return
    total = sum(shard.length for shard in shards)
    fewest = min(total - sum(s.length for s in shards if s.fold == fold) for fold in folds)
    for phase in schedule.phases(config):
        steps = batches.steps_per_epoch(fewest, config.batch_size, replicas)
        schedule.check_warmup(phase, steps)


def prepare_workdir(config: Config, workdir: Workdir) -> None:
    """Opens a workdir for processes that will train its folds; raises as train_folds.

    Whatever they would all have to make is made here: the dataset is built, the folder is created,
    and a folder that holds another run is refused.
    """
    _, record = describe(config)
    workdir.open({**record, **environment("see fold_*/train.log")})


def _identity(record: dict[str, Any]) -> str:
    """Returns a hash of all that results depend on; workers and saved states are compared by it."""
    config = {name: v for name, v in record["config"].items() if name not in CHANGEABLE_FIELDS}
    text = json.dumps([config, record["inputs"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(config: Config) -> tuple[catalog.Catalog, dict[str, Any]]:
    """Returns the dataset of a run, and what config.json says of the run on any device.

    Raises:
      UserError: see dftk.datasets.catalog, dftk.models.registry.weights_identity.
    """
    registry.require_package(config.model)  # before a dataset is built for it
    dataset = catalog.open_dataset(
        config.dataset, config.data_dir, config.folds, any_size=config.stored_size is not None
    )
    inputs = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint(),
        "weights": registry.weights_identity(config.model.weights),
    }
    return dataset, {"config": config.values(), "inputs": inputs}


def _train_each(
    trainer: FoldTrainer | OneClassTrainer,
    folds: Sequence[int],
    workdir: Workdir,
    devices: devices_lib.Devices,
    identity: str,
) -> None:
    """Trains one fold after the other with the same compiled phases."""
    for fold in folds:
        with workdir.locked(fold) if devices.chief else contextlib.nullcontext():
            if devices.workers == 1 and workdir.is_finished(fold):
                say(f"fold {fold}: trained meanwhile by another process", milestone=True)
                continue
            if devices.chief:
                workdir.begin_fold(fold)
            devices.require_same([fold], "fold")  # no worker reads before the chief has the lock
            checkpoints = Checkpoints(
                workdir.fold_dir(fold) / "checkpoint", identity, write=devices.chief
            )
            with _events(workdir, fold, devices.chief).as_default():
                result = trainer.run(fold, checkpoints)
            if devices.chief:
                _write_fold(workdir, fold, trainer.detector.model, result)
                checkpoints.remove()


def _events(workdir: Workdir, fold: int, chief: bool) -> tf.summary.SummaryWriter:
    """Returns a writer for TensorBoard in an empty folder.

    A fold that goes on from a checkpoint writes the history of its epochs again.
    """
    if not chief:
        return tf.summary.create_noop_writer()
    folder = workdir.path / "tensorboard" / f"fold_{fold}"
    shutil.rmtree(folder, ignore_errors=True)
    return tf.summary.create_file_writer(str(folder))


def _load(shards: Sequence[Shard], kind: str, size: int | None) -> residency.Examples:
    """Opens the shards once for the whole run, and shows progress."""
    total = sum(shard.length for shard in shards)
    progress = Progress("reading", total)
    examples = residency.open_examples(shards, kind, size=size, progress=progress.update)
    progress.close(f"{total} images, {total / progress.seconds:.0f} img/s")
    return examples


def _write_fold(workdir: Workdir, fold: int, model: Any, result: FoldResult) -> None:
    """Writes `fold_<f>/`. The last file is predictions.csv: with it the fold is finished."""
    folder = workdir.fold_dir(fold)
    try:
        with replacing(workdir.model_path(fold)) as path:
            model.save(path)
        write_csv(folder / "history.csv", HISTORY_COLUMNS, result.history)
        write_json(folder / "throughput.json", result.throughput)
        write_csv(folder / "predictions.csv", PREDICTION_COLUMNS, result.predictions)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot write the trained fold ({error.strerror or error}); its last state "
            "is kept, the same command writes it once there is room"
        ) from error
