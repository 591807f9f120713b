"""One fold through the schedule; the model, its traces and the decoded pixels serve all folds."""

import dataclasses
import math
import time
from typing import Any

import numpy as np
import tensorflow as tf

from dftk.config import Config, UserError
from dftk.data import pipeline
from dftk.data.residency import Examples
from dftk.evaluation import metrics
from dftk.evaluation.scoring import Ensemble
from dftk.models.registry import Detector
from dftk.progress import Progress, Throughput
from dftk.training import loop, schedule
from dftk.training.devices import Devices

_CALL_SECONDS = 1.0  # of training per call of the compiled loop: rare enough, and still live


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What training a fold leaves, beside the model's weights."""

    history: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    throughput: dict[str, dict[str, float]]  # by phase


@dataclasses.dataclass
class _FoldState:
    """What the phases of one fold hand on."""

    fold: int
    train_rows: np.ndarray
    held_out: np.ndarray
    best_weights: loop.Snapshot  # of the epoch with the smallest val_loss, over both phases
    best: float = math.inf
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class FoldTrainer:
    """Trains folds one after the other, each from the same first weights.

    Args:
      config: of the run.
      devices: as chosen for it.
      detector: built inside the strategy's scope.
      examples: all folds of `train`, decoded.
    """

    def __init__(self, config: Config, devices: Devices, detector: Detector, examples: Examples):
        self._config, self._devices, self._examples = config, devices, examples
        self.detector = detector
        pixels = loop.Pixels(devices, examples)
        self._scorer = loop.Scorer(self.detector, devices, pixels)
        self._saved = Ensemble([self.detector.model])
        self.phases = {
            phase: loop.Trainable(self.detector, devices, config, phase.train_base, pixels)
            for phase in schedule.phases(config)
        }
        variables = list(self.detector.model.variables)
        for trainable in self.phases.values():
            variables += trainable.optimizer.variables
        self._initial = loop.Snapshot(variables)

    def run(self, fold: int) -> FoldResult:
        """Trains one fold through all phases; the best weights by val_loss stay in the model.

        Scalars of every epoch go to TensorFlow's default summary writer, where there is one.

        Args:
          fold: the fold held out.

        Raises:
          UserError: the loss is no longer a number.
        """
        self._initial.restore()
        others = [index for index in range(self._config.folds) if index != fold]
        state = _FoldState(
            fold,
            train_rows=self._examples.rows(others),
            held_out=self._examples.rows([fold]),
            best_weights=loop.Snapshot(self.detector.model.variables),
        )
        throughput = {
            phase.name: self._run_phase(state, phase, trainable).summary()
            for phase, trainable in self.phases.items()
        }
        return FoldResult(state.history, self._predict(state), throughput)

    def _run_phase(
        self, state: _FoldState, phase: schedule.Phase, trainable: loop.Trainable
    ) -> Throughput:
        """Trains until the epochs or the patience end; leaves the fold's best weights so far."""
        config = self._config
        rate = schedule.PlateauRate(
            phase.learning_rate, config.lr_factor, phase.plateau, config.min_lr
        )
        stop = schedule.EarlyStop(phase.stop)
        throughput = Throughput()
        for epoch in range(1, phase.epochs + 1):
            trainable.optimizer.learning_rate = rate.rate
            row: dict[str, Any] = {"fold": state.fold, "phase": phase.name, "epoch": epoch}
            row["learning_rate"] = rate.rate
            title = f"fold {state.fold}  {phase.name} {epoch}/{phase.epochs}"
            progress = Progress(title, len(state.train_rows))
            trained, speed = self._train_epoch(trainable, state, progress)
            row |= trained | self._validate(state.held_out)
            progress.close(_in_words(row))
            _check_finite(row)
            _summarize(len(state.history), row)
            throughput += speed
            state.history.append(row)
            if row["val_loss"] < state.best:
                state.best = row["val_loss"]
                state.best_weights = loop.Snapshot(self.detector.model.variables)
            rate.update(row["val_loss"])
            if stop.update(row["val_loss"]):
                break
        state.best_weights.restore()
        return throughput

    def _train_epoch(
        self, trainable: loop.Trainable, state: _FoldState, progress: Progress
    ) -> tuple[dict[str, float], Throughput]:
        """Visits every training row once; returns loss, accuracy and speed.

        Order and augmentation are keyed by the seed and the epoch, dropout also by the fold; the
        epoch is counted over both phases.
        """
        config, rows, epoch = self._config, state.train_rows, len(state.history)
        replicas = self._devices.replicas
        self.detector.reset_dropout([config.seed, state.fold, epoch])
        dataset = self._examples.batches(
            rows, batch_size=config.batch_size, parts=replicas, shuffle=(config.seed, epoch)
        )
        iterator = loop.distribute(self._devices, dataset)
        speed, totals = Throughput(), np.zeros(4, np.float32)
        left, steps = pipeline.steps_per_epoch(len(rows), config.batch_size, replicas), 1
        while left:
            called, traces, before = time.perf_counter(), trainable.traces, totals
            totals = trainable.run(iterator, tf.constant(steps), tf.constant(totals)).numpy()
            seconds = time.perf_counter() - called
            left -= steps
            if trainable.traces > traces:
                speed += Throughput(compile_seconds=seconds)
            else:
                _, _, examples, waited = (totals - before).tolist()
                speed += Throughput(examples, seconds, waited)
                steps = max(1, round(steps * _CALL_SECONDS / seconds))
            steps = min(left, steps)
            loss, right, seen, _ = totals.tolist()
            text = f"{speed.input_wait:.1%} waiting  loss {loss / seen:.4f}"
            progress.update(int(seen), speed.examples_per_s, text)
        result = {
            "loss": loss / seen + float(loop.l2_penalty(self.detector)),
            "accuracy": right / seen,
            "examples_per_s": speed.examples_per_s,
            "input_wait": speed.input_wait,
            "seconds": speed.seconds + speed.compile_seconds,
        }
        return result, speed

    def _validate(self, rows: np.ndarray) -> dict[str, float]:
        """val_loss, with the L2 penalty as Keras's, val_accuracy and val_auc of the given rows."""
        labels = self._examples.labels[rows]
        logits = self._scorer.logits(self._examples, rows, self._config.batch_size)
        if not np.isfinite(logits).all():
            return dict.fromkeys(("val_loss", "val_accuracy", "val_auc"), math.nan)
        penalty = float(loop.l2_penalty(self.detector))
        return {
            "val_loss": loop.binary_cross_entropy(labels, logits) + penalty,
            "val_accuracy": float(np.mean((logits >= 0) == labels)),
            "val_auc": metrics.auc(labels, logits),
        }

    def _predict(self, state: _FoldState) -> list[dict[str, Any]]:
        """Predictions of the model as it is saved, by the code that later scores the file."""
        (probabilities,) = self._saved.score(self._examples, state.held_out)
        return [
            {
                "filename": self._examples.filenames[row],
                "fold": state.fold,
                "label": int(self._examples.labels[row]),
                "probability": float(probability),
            }
            for row, probability in zip(state.held_out, probabilities)
        ]


def _in_words(row: dict[str, Any]) -> str:
    return (
        f"loss {row['loss']:.4f}  acc {row['accuracy']:.4f}  val_loss {row['val_loss']:.4f}  "
        f"val_acc {row['val_accuracy']:.4f}  val_auc {row['val_auc']:.4f}  "
        f"{row['examples_per_s']:.1f} img/s  {row['input_wait']:.1%} waiting  "
        f"{row['seconds']:.0f} s"
    )


def _check_finite(row: dict[str, Any]) -> None:
    if not math.isfinite(row["loss"] + row["val_loss"]):
        raise UserError(
            f"fold {row['fold']}, {row['phase']} epoch {row['epoch']}: loss {row['loss']}, "
            f"val_loss {row['val_loss']}; lower the learning rate ({row['learning_rate']})"
        )


def _summarize(step: int, row: dict[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, float):
            tf.summary.scalar(name, value, step=step)
