"""One fold through the schedule. The model, its traces and the decoded pixels serve all folds."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dftk.runs.saved_models import Ensemble
from dftk.training import schedule
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.features.head_statistics import HeadStatistics
from dftk.training.folds import history
from dftk.training.folds.held_out import HeldOutFold
from dftk.training.folds.history import FoldResult
from dftk.training.resume.checkpoint import Checkpoints
from dftk.training.resume.interruption import Interrupted
from dftk.training.resume.snapshot import VariableSnapshot
from dftk.training.resume.state import FoldState
from dftk.training.step import loop
from dftk.training.step.context import TrainingContext
from dftk.training.step.epoch import EpochTrainer
from dftk.training.step.profile import StepProfile
from dftk.utils.progress import Progress, Throughput, duration, say


@dataclasses.dataclass
class _Run:
    """A fold that is being trained.

    Attributes:
      state: where it is in its schedule.
      train_rows: int64, of the examples to train on.
      held_out: the examples held out.
      best_weights: of the variables that the phase that reached them changes.
      checkpoints: of this fold.
      best_is_new: whether no checkpoint has these best weights yet.
    """

    state: FoldState
    train_rows: np.ndarray
    held_out: HeldOutFold
    best_weights: VariableSnapshot
    checkpoints: Checkpoints
    best_is_new: bool = True


class FoldTrainer:
    """Trains folds one after the other, each from the same initial weights.

    Args:
      context: of the run.
      folds: how many will be trained, for the estimate of the time left.
      save_steps: also saves the state after every so many steps, not only after each epoch.
      profile: of some steps, or of none.

    Attributes:
      detector: with the weights of the fold that was trained last.
      phases: the compiled loop of each phase.
    """

    def __init__(
        self,
        context: TrainingContext,
        *,
        folds: int = 1,
        save_steps: int | None = None,
        profile: StepProfile | None = None,
    ):
        self._context, self._config = context, context.config
        self.detector = context.detector
        self._schedule = schedule.phases(context.config)
        self._saved = Ensemble([context.detector.model])
        profile = profile or StepProfile(None, Path())
        self._epochs = EpochTrainer(context=context, save_steps=save_steps, profile=profile)
        self._frozen: FrozenFeatures | None = None
        if self._config.frozen_features == "cached" and self._schedule[0].name == "frozen":
            self._frozen = FrozenFeatures(context)
        self._head_statistics = HeadStatistics(context, self._frozen)
        self.phases = {phase: self._compiled(phase) for phase in self._schedule}
        self._eta = schedule.EtaEstimator(self._schedule, folds)
        variables = list(context.detector.model.variables)
        for train_loop in self.phases.values():
            variables += train_loop.optimizer.variables
        self._initial = VariableSnapshot(variables)

    def _compiled(self, phase: schedule.Phase) -> loop.TrainLoop:
        context = self._context
        return loop.TrainLoop(
            detector=context.detector,
            devices=context.devices,
            config=context.config,
            train_base=phase.train_base,
            images=None if self._features_for(phase) else context.images,
        )

    def _features_for(self, phase: schedule.Phase) -> FrozenFeatures | None:
        """Returns the features that the phase trains on; None if it trains on images."""
        return self._frozen if phase.name == "frozen" else None

    def run(self, fold: int, checkpoints: Checkpoints) -> FoldResult:
        """Trains one fold through all phases. The model then has its weights; see --keep.

        It goes on from the newest state in `checkpoints`: on a CPU to the same bits as if it had
        never stopped. Scalars of every epoch go to TensorFlow's default summary writer, if there is
        one.

        Args:
          fold: the fold held out.
          checkpoints: of this fold; only the chief writes them.

        Raises:
          Interrupted: by a signal; the state is saved.
          UserError: the loss is not finite, or a state cannot be written.
        """
        run = self._begin(fold, checkpoints)
        try:
            self._run_phase(run)
            while run.state.phase + 1 < len(self._schedule):
                self._begin_next_phase(run)
                self._run_phase(run)
            base_trained = self._base_is_trained(run.state)
            temperature = 1.0
            if self._config.temperature_scaling:
                temperature = self._head_statistics.fit_temperature(
                    fold, run.train_rows, base_trained
                )
        except Interrupted as stop:
            self._save(run)
            checkpoints.wait()
            raise Interrupted(
                f"fold {fold}: stopped by a signal, saved {self._position(run.state)}; the same "
                "command goes on from there",
                stop.number,
            ) from None
        checkpoints.wait()
        self._eta.end_fold()
        predictions = []
        if self._context.devices.chief:
            predictions = run.held_out.predict(self._saved, base_trained, temperature)
        speeds = {name: speed.summary() for name, speed in run.state.throughput.items()}
        return FoldResult(run.state.history, predictions, speeds)

    def _begin(self, fold: int, checkpoints: Checkpoints) -> _Run:
        """Puts the fold at its first step, or where its newest checkpoint is."""
        self._initial.restore()
        examples = self._context.examples
        rows = examples.rows([fold])
        features = self._frozen.features_of(rows) if self._frozen else None
        rate, stop = schedule.plateau_and_stop(self._schedule[0], self._config)
        run = _Run(
            state=FoldState(fold, rate, stop),
            train_rows=examples.rows([i for i in range(self._config.folds) if i != fold]),
            held_out=HeldOutFold(fold, rows, self._context, features),
            best_weights=VariableSnapshot(self._variables(0)),
            checkpoints=checkpoints,
        )
        if self._frozen:  # the time of computing features counts as the first fold's
            run.state.throughput, self._frozen.speeds = self._frozen.speeds, {}
        self._resume(run)
        state = run.state
        self._context.devices.require_same(
            [state.fold, state.phase, state.epoch, state.step],
            "checkpoints in --workdir, which must be one folder",
        )
        for step, row in enumerate(state.history):
            history.summarize(step, row)
        return run

    def _resume(self, run: _Run) -> None:
        """Puts the fold where its newest checkpoint is, if there is one."""
        if (saved := run.checkpoints.load()) is None:
            return
        record, variables, best = saved
        run.state = state = FoldState.from_record(record)
        run.best_weights = VariableSnapshot(self._variables(state.best_phase), best)
        run.best_is_new = False
        VariableSnapshot(self._variables(state.phase), variables["model"]).restore()
        self.detector.resume_dropout()
        optimizer = self.phases[self._schedule[state.phase]].optimizer
        VariableSnapshot(optimizer.variables, variables["optimizer"]).restore()
        say(f"fold {state.fold}: goes on {self._position(state)}", milestone=True)

    def _position(self, state: FoldState) -> str:
        name = self._schedule[state.phase].name
        if state.step:
            return f"in {name} epoch {state.epoch + 1} after step {state.step}"
        return f"after {name} epoch {state.epoch}" if state.epoch else f"at the start of {name}"

    def _variables(self, phase: int) -> list[keras.Variable]:
        """Returns the variables that a phase changes: a hundredth of all if the base is frozen."""
        model = self.detector.model if self._schedule[phase].train_base else self.detector.head
        return list(model.variables)

    def _base_is_trained(self, state: FoldState) -> bool:
        """Returns whether the best weights have a base other than the initial one."""
        return any(phase.train_base for phase in self._schedule[: state.best_phase + 1])

    def _save(self, run: _Run) -> None:
        if not self._context.devices.chief:
            return
        optimizer = self.phases[self._schedule[run.state.phase]].optimizer
        groups = {"model": self._variables(run.state.phase), "optimizer": optimizer.variables}
        values = {name: VariableSnapshot(group).values for name, group in groups.items()}
        best = run.best_weights.values if run.best_is_new else None
        run.checkpoints.save(dataclasses.asdict(run.state), values, best)
        run.best_is_new = False

    def _begin_next_phase(self, run: _Run) -> None:
        """Goes on from the best weights so far. The optimizer of the phase is a new one."""
        index = run.state.phase + 1
        rate, stop = schedule.plateau_and_stop(self._schedule[index], self._config)
        run.state.begin_phase(index, rate, stop)

    def _run_phase(self, run: _Run) -> None:
        """Trains until the epochs or the patience end; restores the fold's best weights so far."""
        state, phase = run.state, self._schedule[run.state.phase]
        while not state.over:
            title = f"fold {state.fold}  {phase.name} {state.epoch + 1}/{phase.epochs}"
            progress = Progress(title, len(run.train_rows), milestone=True)
            row, speed = self._run_epoch(run, phase, progress)
            state.throughput.setdefault(phase.name, Throughput()).add(speed)
            history.summarize(len(state.history) - 1, row)
            self._save(run)
            self._eta.add_epoch(phase, progress.seconds - speed.compile_seconds)
            time_left = self._time_left(state, phase)
            progress.close(f"{history.format_row(row)}  {time_left}".rstrip())
        self._initial.restore()
        run.best_weights.restore()

    def _run_epoch(
        self, run: _Run, phase: schedule.Phase, progress: Progress
    ) -> tuple[dict[str, Any], Throughput]:
        """Trains, validates, and takes the weights as the best if they are; returns the row."""
        state, train_loop = run.state, self.phases[phase]

        def show(done: int, speed: Throughput, loss: float) -> None:
            if not speed.seconds:  # every call so far compiled
                return
            epoch_s = len(run.train_rows) / speed.examples_per_s
            text = (
                f"{speed.ms_per_step:.0f} ms/step  {speed.input_wait:.1%} waiting  "
                f"loss {loss:.4f}  {self._time_left(state, phase, epoch_s)}"
            )
            progress.update(done, speed.examples_per_s, text)

        trained, speed = self._epochs.train(
            train_loop=train_loop,
            phase=phase,
            state=state,
            rows=run.train_rows,
            batcher=(self._features_for(phase) or self._context.examples).batches,
            save=lambda: self._save(run),
            show=show,
        )
        rate = state.rate.rate
        if phase.cosine or phase.warmup:  # it changes within the epoch: the last step's
            rate = float(train_loop.optimizer.learning_rate)
        row: dict[str, Any] = {
            "fold": state.fold,
            "phase": phase.name,
            "epoch": state.epoch + 1,
            "learning_rate": rate,
            **trained,
        }
        if self._config.head.batchnorm == "precise":
            base_trained = phase.name != "frozen"
            self._head_statistics.measure_batchnorm(state.fold, run.train_rows, base_trained)
        row |= run.held_out.validate(base_changed=phase.train_base)
        row["seconds"] = progress.seconds
        history.check_finite(row)
        if state.end_epoch(row, phase.epochs, self._config.keep):
            run.best_weights = VariableSnapshot(self._variables(state.phase))
            run.best_is_new = True
        return row, speed

    def _time_left(
        self, state: FoldState, phase: schedule.Phase, epoch_s: float | None = None
    ) -> str:
        left = self._eta.left(state.phase, phase.epochs - state.epoch, epoch_s)
        return f"run: {duration(left)} left at most" if math.isfinite(left) and left else ""
