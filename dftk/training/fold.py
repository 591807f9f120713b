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
from dftk.training import loop, schedule
from dftk.training.devices import Devices
from dftk.training.progress import Progress

_CALL_SECONDS = 1.0  # of training per call of the compiled loop: rare enough, and still live


@dataclasses.dataclass
class Throughput:
    """Examples and seconds of calls that did not compile, and the seconds of those that did."""

    examples: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    compile_seconds: float = 0.0

    @property
    def examples_per_s(self) -> float:
        """NaN as long as every call compiled."""
        return self.examples / self.seconds if self.seconds else float("nan")

    @property
    def input_wait(self) -> float:
        """Share of the time in which a step waited for its batch."""
        return self.waited / self.seconds if self.seconds else float("nan")

    def __iadd__(self, other: "Throughput") -> "Throughput":
        self.examples += other.examples
        self.seconds += other.seconds
        self.waited += other.waited
        self.compile_seconds += other.compile_seconds
        return self

    def summary(self) -> dict[str, float]:
        """For metrics.json."""
        return {
            "examples_per_s": self.examples_per_s,
            "input_wait": self.input_wait,
            "train_seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
        }


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """What training a fold leaves, beside the model's weights."""

    history: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    throughput: dict[str, dict[str, float]]  # by phase


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
        self._scorer = loop.Scorer(self.detector, devices)
        self._saved = Ensemble([self.detector.model])
        self.phases = {
            phase: loop.Trainable(self.detector, devices, config, phase.train_base)
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
        train_rows, held_out = self._examples.rows(others), self._examples.rows([fold])
        history: list[dict[str, Any]] = []
        throughput = {}
        best = float("inf")
        best_weights = loop.Snapshot(self.detector.model.variables)
        for phase, trainable in self.phases.items():
            rate = schedule.PlateauRate(
                phase.learning_rate, self._config.lr_factor, phase.plateau, self._config.min_lr
            )
            stop = schedule.EarlyStop(phase.stop)
            total = Throughput()
            for epoch in range(phase.epochs):
                row: dict[str, Any] = {"fold": fold, "phase": phase.name, "epoch": epoch + 1}
                row["learning_rate"] = trainable.optimizer.learning_rate = rate.rate
                progress = Progress(
                    f"fold {fold}  {phase.name} {epoch + 1}/{phase.epochs}", len(train_rows)
                )
                measured = self._train_epoch(
                    trainable, train_rows, fold, len(history), progress, row
                )
                total += measured
                self._validate(held_out, row)
                progress.close(_in_words(row))
                _summarize(len(history), row)
                history.append(row)
                if row["val_loss"] < best:
                    best = row["val_loss"]
                    best_weights = loop.Snapshot(self.detector.model.variables)
                rate.update(row["val_loss"])
                if stop.update(row["val_loss"]):
                    break
            best_weights.restore()
            throughput[phase.name] = total.summary()
        return FoldResult(history, self._predict(fold, held_out), throughput)

    def _train_epoch(
        self,
        trainable: loop.Trainable,
        rows: np.ndarray,
        fold: int,
        epoch: int,
        progress: Progress,
        result: dict[str, Any],
    ) -> Throughput:
        """Visits every row once and adds loss, accuracy and speed to `result`.

        Args:
          trainable: the phase's loop.
          rows: int64, of the examples to train on.
          fold: keys dropout, with the seed and the epoch.
          epoch: counted over both phases; keys order and augmentation, with the seed.
          progress: updated after each call.
          result: the epoch's row of the history.
        """
        config = self._config
        self.detector.reset_dropout([config.seed, fold, epoch])
        dataset = pipeline.batches(
            self._examples.images,
            self._examples.labels,
            rows,
            batch_size=config.batch_size,
            parts=self._devices.replicas,
            shuffle=(config.seed, epoch),
        )
        iterator = loop.distribute(self._devices, dataset)
        speed, totals = Throughput(), np.zeros(4, np.float32)
        left, steps = math.ceil(len(rows) / config.batch_size), 1
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
        result |= {
            "loss": loss / seen + float(loop.l2_penalty(self.detector)),
            "accuracy": right / seen,
            "examples_per_s": speed.examples_per_s,
            "input_wait": speed.input_wait,
            "seconds": speed.seconds + speed.compile_seconds,
        }
        _check_finite(result, "loss")
        return speed

    def _validate(self, rows: np.ndarray, result: dict[str, Any]) -> None:
        """Scores the held-out rows and adds val_loss, val_accuracy and val_auc to `result`.

        val_loss includes the L2 penalty, as Keras's does.
        """
        labels = self._examples.labels[rows]
        logits = self._scorer.logits(self._examples, rows, self._config.batch_size)
        cross_entropy = loop.binary_cross_entropy(labels, logits)
        result["val_loss"] = cross_entropy + float(loop.l2_penalty(self.detector))
        _check_finite(result, "val_loss")
        result["val_accuracy"] = float(np.mean((logits >= 0) == labels))
        result["val_auc"] = metrics.auc(labels, logits)

    def _predict(self, fold: int, rows: np.ndarray) -> list[dict[str, Any]]:
        """Predictions of the model as it is saved, by the code that later scores the file."""
        (probabilities,) = self._saved.score(self._examples, rows)
        return [
            {
                "filename": self._examples.filenames[row],
                "fold": fold,
                "label": int(self._examples.labels[row]),
                "probability": float(probability),
            }
            for row, probability in zip(rows, probabilities)
        ]


def _in_words(row: dict[str, Any]) -> str:
    return (
        f"loss {row['loss']:.4f}  acc {row['accuracy']:.4f}  val_loss {row['val_loss']:.4f}  "
        f"val_acc {row['val_accuracy']:.4f}  val_auc {row['val_auc']:.4f}  "
        f"{row['examples_per_s']:.1f} img/s  {row['input_wait']:.1%} waiting  "
        f"{row['seconds']:.0f} s"
    )


def _check_finite(row: dict[str, Any], name: str) -> None:
    if not math.isfinite(row[name]):
        raise UserError(
            f"fold {row['fold']}, {row['phase']} epoch {row['epoch']}: {name} is {row[name]}; "
            f"lower the learning rate ({row['learning_rate']})"
        )


def _summarize(step: int, row: dict[str, Any]) -> None:
    for name, value in row.items():
        if isinstance(value, float):
            tf.summary.scalar(name, value, step=step)
