"""A TensorBoard profile of some training steps."""

from pathlib import Path

import tensorflow as tf

from dftk.utils.progress import say


class StepProfile:
    """Traces some of the steps that this process trains.

    Args:
      steps: first and last, counted from 1; None traces nothing.
      folder: that TensorBoard reads; the trace is written to `plugins/profile` in it.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        self._first, self._last = steps or (0, 0)
        self._folder, self._done = folder, 0

    def before(self, steps: int) -> int:
        """Returns how many of the next steps may be one call; starts the trace if it is due."""
        if self._done >= self._last:
            return steps
        if self._done + 1 == self._first:
            tf.profiler.experimental.start(str(self._folder))
        end = self._first - 1 if self._done < self._first - 1 else self._last
        return min(steps, end - self._done)

    def after(self, steps: int) -> None:
        """Counts steps that were trained; ends the trace if it is due."""
        former, self._done = self._done, self._done + steps
        if former < self._last <= self._done:
            tf.profiler.experimental.stop()
            say(f"profile of steps {self._first} to {self._last}: tensorboard --logdir "
                f"{self._folder}")  # fmt: skip

    def close(self) -> None:
        """Ends a trace that has begun; says so on stderr if it is not complete."""
        if self._first <= self._done < self._last:
            tf.profiler.experimental.stop()
        if self._done < self._last:
            say(f"--profile_steps: only {self._done} steps were trained, not {self._last}")
