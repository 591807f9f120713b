"""Training for one epoch: how many steps a call makes, and what happens between calls."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.input import batches
from dftk.training import schedule
from dftk.training.resume.state import EpochTotals, FoldState
from dftk.training.step import loop
from dftk.training.step.context import TrainingContext
from dftk.training.step.profile import StepProfile
from dftk.utils.errors import UserError
from dftk.utils.progress import Throughput

_CALL_SECONDS = 1.0  # of one call of the compiled loop: few calls, and progress is still shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochTrainer:
    """Trains epochs of any phase and fold.

    Attributes:
      context: of the run.
      save_steps: a checkpoint is saved after every so many steps; None saves none.
      profile: of some steps, or of none.
    """

    context: TrainingContext
    save_steps: int | None
    profile: StepProfile

    def train(
        self,
        *,
        train_loop: loop.TrainLoop,
        phase: schedule.Phase,
        state: FoldState,
        rows: np.ndarray,
        batcher: Callable[..., tf.data.Dataset],
        save: Callable[[], None],
        show: Callable[[int, Throughput, float], None],
    ) -> tuple[dict[str, float], Throughput]:
        """Visits every row once, from the step at which `state` is; updates `state` with each call.

        Order and augmentation are keyed by the seed and the epoch, dropout by the fold, too. Epochs
        are counted over all phases.

        Args:
          train_loop: the compiled loop of the phase.
          phase: of the schedule.
          state: of the fold.
          rows: int64, of the examples to train on.
          batcher: makes batches of them, as Examples.batches does.
          save: writes a checkpoint of `state`.
          show: called after each call with the number of examples done, the speed and the mean loss
            so far.

        Returns:
          loss, accuracy and speed for the history, and the throughput of this call of `train`.

        Raises:
          Interrupted: a signal came; `state` fits the weights.
          UserError: the loss is not finite.
        """
        config, devices = self.context.config, self.context.devices
        detector = self.context.detector
        if state.step == 0:
            detector.reset_dropout([config.seed, state.fold, state.total_epochs])
        dataset = batcher(
            rows,
            batch_size=config.batch_size,
            num_replicas=devices.replicas,
            local_replicas=devices.local,
            start_step=state.step,
            shuffle=(config.seed, state.total_epochs),
        )
        iterator = loop.distribute(devices, dataset)
        steps_per_epoch = batches.steps_per_epoch(len(rows), config.batch_size, devices.replicas)
        speed, steps = Throughput(), 1
        while state.step < steps_per_epoch:
            steps = self._limit_steps(min(steps, steps_per_epoch - state.step), state.step)
            steps_done = state.epoch * steps_per_epoch + state.step
            rates = schedule.rate_schedule(phase, state.rate.rate, steps_done, steps_per_epoch)
            call_speed = self._call(train_loop, iterator, state, steps, rates)
            speed.add(call_speed)
            self._require_finite_loss(state)
            self.context.check_stop()
            if self.save_steps and state.step % self.save_steps == 0:
                save()
            if call_speed.seconds:
                steps = max(1, round(steps * _CALL_SECONDS / call_speed.seconds))
            totals = state.totals
            show(int(totals.examples), speed, totals.loss / totals.examples)
        totals = state.totals
        row = {
            "loss": totals.loss / totals.examples + float(loop.l2_penalty(detector)),
            "accuracy": totals.correct / totals.examples,
            "examples_per_s": speed.examples_per_s,
            "input_wait": speed.input_wait,
        }
        return row, speed

    def _limit_steps(self, steps: int, done: int) -> int:
        """Returns at most `steps`, up to where a checkpoint is due or a profile begins or ends."""
        if self.save_steps:
            steps = min(steps, self.save_steps - done % self.save_steps)
        return self.profile.before(steps)

    def _call(
        self,
        train_loop: loop.TrainLoop,
        iterator: tf.data.Iterator,
        state: FoldState,
        steps: int,
        rates: schedule.RateSchedule,
    ) -> Throughput:
        """Trains some steps in one call; returns their throughput, the same in all workers."""
        devices, before = self.context.devices, state.totals
        traces, start = train_loop.traces, time.perf_counter()
        so_far = tf.constant(before, tf.float32)
        result = train_loop.run(iterator, tf.constant(steps), so_far, tf.constant(rates))
        totals = EpochTotals(*result.numpy().tolist())
        seconds = time.perf_counter() - start
        self.profile.after(steps)
        state.step, state.totals = state.step + steps, totals
        if train_loop.traces > traces:
            return Throughput(compile_seconds=seconds)
        if devices.workers > 1:  # all have to make the next call with equally many steps
            seconds = devices.sum_over_workers(np.array([seconds])).item() / devices.workers
        examples = totals.examples - before.examples
        return Throughput(examples, steps, seconds, totals.waiting_s - before.waiting_s)

    def _require_finite_loss(self, state: FoldState) -> None:
        if not math.isfinite(state.totals.loss):
            raise UserError(
                f"the loss is {state.totals.loss} after step {state.step} of this epoch, at "
                f"learning rate {state.rate.rate}; lower it (in another --workdir)"
            )
