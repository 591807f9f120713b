"""One fold through the schedule; the model, its traces and the decoded pixels serve all folds."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dftk.input.residency import Examples
from dftk.models.registry import Detector
from dftk.runs.saved_models import Ensemble
from dftk.training import schedule
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.features.head_statistics import WholeImages
from dftk.training.folds import history
from dftk.training.folds.held_out import HeldOut
from dftk.training.folds.history import FoldResult
from dftk.training.resume.checkpoint import Checkpoints
from dftk.training.resume.interruption import Interrupted
from dftk.training.resume.state import FoldState
from dftk.training.resume.stop import StopIfAsked
from dftk.training.step import loop
from dftk.training.step.epoch import Epochs
from dftk.training.step.profile import StepProfile
from dftk.training.step.scorer import Scorer
from dftk.utils.progress import Progress, Throughput, duration, say


@dataclasses.dataclass
class _Run:
    """One fold in the making."""

    state: FoldState
    train_rows: np.ndarray
    held_out: HeldOut
    best_weights: loop.Snapshot  # of what the phase that reached them changes
    checkpoints: Checkpoints
    best_is_new: bool = True  # not in a checkpoint yet


class FoldTrainer:
    """Trains folds one after the other, each from the same first weights.

    Args:
      config: of the run.
      devices: as chosen for it.
      detector: built inside the strategy's scope.
      examples: all folds of `train`, decoded.
      folds: how many will be trained, for the forecast.
      save_steps: saves the state after every so many steps too, not only after each epoch.
      stop_if_asked: called between calls of the compiled loop.
      profile: of some steps, or of none.
    """

    def __init__(
        self,
        config: Config,
        devices: Devices,
        detector: Detector,
        examples: Examples,
        *,
        folds: int = 1,
        save_steps: int | None = None,
        stop_if_asked: StopIfAsked | None = None,
        profile: StepProfile | None = None,
    ):
        self._config, self._devices, self._examples = config, devices, examples
        self.detector = detector
        self._stop_if_asked = stop_if_asked or StopIfAsked(devices)
        self._schedule = list(schedule.phases(config))
        pixels = loop.Pixels(devices, examples)
        self._scorer = Scorer(self.detector, devices, pixels)
        self._saved = Ensemble([self.detector.model])
        profile = profile or StepProfile(None, Path())
        self._epochs = Epochs(config, devices, detector, save_steps, self._stop_if_asked, profile)
        self._frozen: FrozenFeatures | None = None
        if config.frozen_features == "cached" and self._schedule[0].name == "frozen":
            self._frozen = FrozenFeatures(
                config, devices, detector, self._scorer, examples, self._stop_if_asked
            )
        parts = (self.detector, self._scorer, examples, self._frozen, self._stop_if_asked)
        self._whole = WholeImages(config, *parts)
        self.phases, self._batchers = {}, {}
        for phase in self._schedule:
            frozen = self._frozen if phase.name == "frozen" else None
            self.phases[phase] = loop.TrainLoop(
                detector, devices, config, phase.train_base, None if frozen else pixels
            )
            self._batchers[phase] = frozen.batches if frozen else examples.batches
        self._eta = schedule.EtaEstimator(self._schedule, folds)
        optimizers = [train_loop.optimizer.variables for train_loop in self.phases.values()]
        self._initial = loop.Snapshot(sum(optimizers, list(self.detector.model.variables)))

    def run(self, fold: int, checkpoints: Checkpoints) -> FoldResult:
        """Trains one fold through all phases; its weights stay in the model, see --keep.

        Goes on from the newest state in `checkpoints`, on a CPU to the same bits as if it had
        never stopped. Scalars of every epoch go to TensorFlow's default summary writer, where
        there is one.

        Args:
          fold: the fold held out.
          checkpoints: of this fold; the chief alone writes them.

        Raises:
          Interrupted: by a signal; the state is saved.
          UserError: the loss is no longer a number, or a state cannot be written.
        """
        run = self._begin(fold, checkpoints)
        try:
            self._run_phase(run)
            while run.state.phase + 1 < len(self._schedule):
                self._next_phase(run)
                self._run_phase(run)
            moved = any(phase.train_base for phase in self._schedule[: run.state.best_phase + 1])
            temperature = 1.0
            if self._config.temperature_scaling:
                temperature = self._whole.scale_logit(fold, run.train_rows, at_rest=not moved)
        except Interrupted as stop:
            self._save(run)
            checkpoints.wait()
            raise Interrupted(
                f"fold {fold}: stopped by a signal, saved {self._where(run.state)}; the same "
                "command goes on from there",
                stop.number,
            ) from None
        checkpoints.wait()
        self._eta.end_fold()
        predictions = []
        if self._devices.chief:
            predictions = run.held_out.predict(self._saved, moved, temperature)
        speeds = {name: speed.summary() for name, speed in run.state.throughput.items()}
        return FoldResult(run.state.history, predictions, speeds)

    def _begin(self, fold: int, checkpoints: Checkpoints) -> _Run:
        """The fold at its first step, or where its newest checkpoint is."""
        self._initial.restore()
        others = [index for index in range(self._config.folds) if index != fold]
        state = FoldState(fold, *schedule.patience(self._schedule[0], self._config))
        if self._frozen:
            state.throughput, self._frozen.speeds = self._frozen.speeds, {}
        run = _Run(
            state,
            self._examples.rows(others),
            self._held_out(fold),
            loop.Snapshot(self._variables(0)),
            checkpoints,
        )
        if saved := checkpoints.load():
            record, variables, best = saved
            run.state = state = FoldState.from_record(record)
            run.best_weights = loop.Snapshot(self._variables(state.best_phase), best)
            run.best_is_new = False
            loop.Snapshot(self._variables(state.phase), variables["model"]).restore()
            self.detector.resume_dropout()
            optimizer = self.phases[self._schedule[state.phase]].optimizer
            loop.Snapshot(optimizer.variables, variables["optimizer"]).restore()
            say(f"fold {fold}: goes on {self._where(state)}")
        place = [state.fold, state.phase, state.epoch, state.step]
        self._devices.require_same(place, "checkpoints in --workdir, which must be one folder")
        for step, row in enumerate(state.history):
            history.summarize(step, row)
        return run

    def _held_out(self, fold: int) -> HeldOut:
        rows, batch_size = self._examples.rows([fold]), self._config.batch_size
        known = self._frozen.of(rows) if self._frozen else None
        parts = (self._examples, self.detector, self._scorer)
        return HeldOut(fold, rows, *parts, batch_size, known)

    def _where(self, state: FoldState) -> str:
        name = self._schedule[state.phase].name
        if state.step:
            return f"in {name} epoch {state.epoch + 1} after step {state.step}"
        return f"after {name} epoch {state.epoch}" if state.epoch else f"at the start of {name}"

    def _variables(self, phase: int) -> list[keras.Variable]:
        """What a phase changes: with the base frozen, a hundredth of all."""
        model = self.detector.model if self._schedule[phase].train_base else self.detector.head
        return list(model.variables)

    def _save(self, run: _Run) -> None:
        if not self._devices.chief:
            return
        optimizer = self.phases[self._schedule[run.state.phase]].optimizer
        groups = {"model": self._variables(run.state.phase), "optimizer": optimizer.variables}
        values = {name: loop.Snapshot(list(group)).values for name, group in groups.items()}
        best = run.best_weights.values if run.best_is_new else None
        run.checkpoints.save(dataclasses.asdict(run.state), values, best)
        run.best_is_new = False

    def _next_phase(self, run: _Run) -> None:
        """Goes on from the best weights so far; the optimizer of each phase begins anew."""
        index = run.state.phase + 1
        run.state.begin_phase(index, *schedule.patience(self._schedule[index], self._config))

    def _run_phase(self, run: _Run) -> None:
        """Trains until the epochs or the patience end; leaves the fold's best weights so far."""
        state, phase = run.state, self._schedule[run.state.phase]
        while not state.over:
            title = f"fold {state.fold}  {phase.name} {state.epoch + 1}/{phase.epochs}"
            progress = Progress(title, len(run.train_rows))
            row, speed = self._run_epoch(run, phase, progress)
            state.throughput.setdefault(phase.name, Throughput()).add(speed)
            history.summarize(len(state.history) - 1, row)
            self._save(run)
            self._eta.saw(phase, progress.seconds - speed.compile_seconds)
            progress.close(f"{history.in_words(row)}  {self._forecast(state, phase)}".rstrip())
        self._initial.restore()
        run.best_weights.restore()

    def _run_epoch(
        self, run: _Run, phase: schedule.Phase, progress: Progress
    ) -> tuple[dict[str, Any], Throughput]:
        """Trains, validates, and keeps the weights if they are to be; the epoch's row."""
        state, train_loop = run.state, self.phases[phase]

        def show(done: int, speed: Throughput, loss: float) -> None:
            if not speed.seconds:  # compiled, so far
                return
            epoch_s = len(run.train_rows) / speed.examples_per_s
            text = (
                f"{speed.ms_per_step:.0f} ms/step  {speed.input_wait:.1%} waiting  "
                f"loss {loss:.4f}  {self._forecast(state, phase, epoch_s)}"
            )
            progress.update(done, speed.examples_per_s, text)

        inputs, save = (run.train_rows, self._batchers[phase]), lambda: self._save(run)
        trained, speed = self._epochs.train(train_loop, phase, state, *inputs, save, show)
        row: dict[str, Any] = {"fold": state.fold, "phase": phase.name, "epoch": state.epoch + 1}
        moving = phase.cosine or phase.warmup  # then the last step's stands in the history
        rate = float(train_loop.optimizer.learning_rate) if moving else state.rate.rate
        row |= {"learning_rate": rate, **trained}
        if self._config.head.batchnorm == "precise":
            at_rest = phase.name == "frozen"
            self._whole.measure_batchnorm(state.fold, run.train_rows, at_rest)
        row |= run.held_out.validate(phase.train_base, self._stop_if_asked)
        row["seconds"] = progress.seconds
        history.check_finite(row)
        if state.end_epoch(row, phase.epochs, self._config.keep):
            run.best_weights = loop.Snapshot(self._variables(state.phase))
            run.best_is_new = True
        return row, speed

    def _forecast(
        self, state: FoldState, phase: schedule.Phase, epoch_s: float | None = None
    ) -> str:
        left = self._eta.left(state.phase, phase.epochs - state.epoch, epoch_s)
        return f"run: {duration(left)} left at most" if math.isfinite(left) and left else ""
