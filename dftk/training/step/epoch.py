"""One epoch through a compiled phase: how many steps to a call, and what happens between calls."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dftk.input import batches
from dftk.models.registry import Detector
from dftk.training import schedule
from dftk.training.config import Config
from dftk.training.devices.devices import Devices
from dftk.training.resume.state import FoldState
from dftk.training.resume.stop import StopIfAsked
from dftk.training.step import loop
from dftk.training.step.profile import StepProfile
from dftk.utils.errors import UserError
from dftk.utils.progress import Throughput

_CALL_SECONDS = 1.0  # of training per call of the compiled loop: rare enough, and still live


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Trains epochs of any phase and fold.

    Args:
      config: batch_size, seed.
      save_steps: calls `save` after every so many steps; None never does.
      stop_if_asked: called between calls of the compiled loop.
      profile: of some steps, or of none.
    """

    config: Config
    devices: Devices
    detector: Detector
    save_steps: int | None
    stop_if_asked: StopIfAsked
    profile: StepProfile

    def train(
        self,
        train_loop: loop.TrainLoop,
        phase: schedule.Phase,
        state: FoldState,
        rows: np.ndarray,
        batcher: Callable[..., tf.data.Dataset],
        save: Callable[[], None],
        show: Callable[[int, Throughput, float], None],
    ) -> tuple[dict[str, float], Throughput]:
        """Visits every row once, from the step where `state` stands; moves `state` along.

        Order and augmentation are keyed by the seed and the epoch, dropout also by the fold; the
        epoch is counted over both phases.

        Args:
          train_loop: the compiled loop of the phase.
          phase: of the schedule.
          state: of the fold.
          rows: int64, of the examples to train on.
          batcher: makes batches of them as Examples.batches does.
          save: writes a checkpoint of `state`.
          show: called after each call with examples done, speed and mean loss so far.

        Returns:
          loss, accuracy and speed as they stand in the history, and the epoch's throughput.

        Raises:
          Interrupted: a signal came; `state` is where the weights are.
          UserError: the loss is no longer a number.
        """
        key = (self.config.seed, state.total_epochs)
        if state.step == 0:
            self.detector.reset_dropout([self.config.seed, state.fold, state.total_epochs])
        devices = self.devices
        total = batches.steps_per_epoch(len(rows), self.config.batch_size, devices.replicas)
        dataset = batcher(
            rows,
            batch_size=self.config.batch_size,
            num_replicas=devices.replicas,
            local_replicas=devices.local,
            start_step=state.step,
            shuffle=key,
        )
        iterator = loop.distribute(devices, dataset)
        speed, steps = Throughput(), 1
        while state.step < total:
            steps = self._until_next(state.step, min(steps, total - state.step))
            done = state.epoch * total + state.step
            rates = schedule.rates(phase, state.rate.rate, done, total)
            called = self._call(train_loop, iterator, state, steps, rates)
            speed.add(called)
            self._check(state)
            if self.save_steps and state.step % self.save_steps == 0:
                save()
            if called.seconds:
                steps = max(1, round(steps * _CALL_SECONDS / called.seconds))
            loss, _, seen, _ = state.totals
            show(int(seen), speed, loss / seen)
        loss, right, seen, _ = state.totals
        result = {
            "loss": loss / seen + float(loop.l2_penalty(self.detector)),
            "accuracy": right / seen,
            "examples_per_s": speed.examples_per_s,
            "input_wait": speed.input_wait,
        }
        return result, speed

    def _until_next(self, step: int, steps: int) -> int:
        """At most `steps`, ending where a checkpoint is due or a profile begins or ends."""
        if self.save_steps:
            steps = min(steps, self.save_steps - step % self.save_steps)
        return self.profile.before(steps)

    def _call(
        self,
        train_loop: loop.TrainLoop,
        iterator: tf.data.Iterator,
        state: FoldState,
        steps: int,
        rates: tuple[float, ...],
    ) -> Throughput:
        """Trains some steps in one call; its speed, the same in all workers."""
        before, traces, called = state.totals, train_loop.traces, time.perf_counter()
        so_far = tf.constant(before, tf.float32)
        run = train_loop.run(iterator, tf.constant(steps), so_far, tf.constant(rates))
        totals = run.numpy().tolist()
        seconds = time.perf_counter() - called
        self.profile.after(steps)
        state.step, state.totals = state.step + steps, totals
        if train_loop.traces > traces:
            return Throughput(compile_seconds=seconds)
        if self.devices.workers > 1:  # the next call's steps follow from it
            seconds = self.devices.sum_over_workers(np.array([seconds])).item()
            seconds /= self.devices.workers
        return Throughput(totals[2] - before[2], steps, seconds, totals[3] - before[3])

    def _check(self, state: FoldState) -> None:
        if not math.isfinite(state.totals[0]):
            raise UserError(
                f"the loss is {state.totals[0]} after step {state.step} of this epoch, at learning "
                f"rate {state.rate.rate}; lower it (in another --workdir)"
            )
        self.stop_if_asked()
