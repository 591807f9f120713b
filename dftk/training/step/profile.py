"""A TensorBoard profile of some training steps."""

from pathlib import Path

import tensorflow as tf

from dftk.utils.progress import say


class StepProfile:
    """Traces the steps from `first` to `last`, counted over all that this process trains.

    Args:
      steps: first and last, from 1 on; None traces nothing.
      folder: where TensorBoard looks; the trace goes to `plugins/profile` in it.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        self._first, self._last = steps or (0, 0)
        self._folder, self._done = folder, 0

    def before(self, steps: int) -> int:
        """How many of the next `steps` may be trained in one call; starts the trace when due."""
        if self._done >= self._last:
            return steps
        if self._done + 1 == self._first:
            tf.profiler.experimental.start(str(self._folder))
        end = self._first - 1 if self._done < self._first - 1 else self._last
        return min(steps, end - self._done)

    def after(self, steps: int) -> None:
        """Takes note of trained steps; ends the trace when due."""
        former, self._done = self._done, self._done + steps
        if former < self._last <= self._done:
            tf.profiler.experimental.stop()
            say(f"profile of steps {self._first} to {self._last}: tensorboard --logdir "
                f"{self._folder}")  # fmt: skip

    def close(self) -> None:
        """Ends a trace that is under way; says so of one that never was complete."""
        if self._first <= self._done < self._last:
            tf.profiler.experimental.stop()
        if self._done < self._last:
            say(f"--profile_steps: only {self._done} steps were trained, not {self._last}")
