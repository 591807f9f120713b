"""Execution options of a run, validated as its config is. This module does not load TensorFlow."""

import dataclasses
from collections.abc import Sequence

from dftk.utils.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Execution options. They never change results.

    Attributes:
      checkpoint_steps: save the state after every so many steps, not only after each epoch.
      profile_steps: first and last step of a TensorBoard trace.
      array_task: whether this process is one task of an array job. It trains one fold and writes no
        report.
      parallel: number of folds that are trained at once on this machine; "auto" is one per GPU,
        and "ray" spreads the folds over a Ray cluster.
      workers: number of processes that train each fold together. Ray starts them if there are
        several.
      ray_address: host:port of the Ray cluster to join, or "auto" for the one on this machine. None
        starts a local one.

    Raises:
      UsageError: a value, or a combination of values, that cannot be.
    """

    checkpoint_steps: int | None = None
    profile_steps: tuple[int, int] | None = None
    array_task: bool = False
    parallel: str = "1"
    workers: int = 1
    ray_address: str | None = None

    @property
    def processes(self) -> int | None:
        """Number of folds that are trained at once on this machine; None is one per GPU."""
        return None if self.parallel == "auto" else int(self.parallel)

    def __post_init__(self) -> None:
        is_word = self.parallel in ("auto", "ray")
        if not is_word and not (self.parallel.isdecimal() and int(self.parallel) >= 1):
            raise UsageError(f"--parallel={self.parallel}: give auto, ray, or a number from 1 on")
        if self.workers < 1:
            raise UsageError(f"--workers={self.workers}: must be at least 1")
        launchers = {
            "--fold=job": self.array_task,
            f"--parallel={self.parallel}": self.parallel != "1",
            f"--workers={self.workers}": self.workers > 1,
        }
        if len(chosen := [flag for flag, given in launchers.items() if given]) > 1:
            raise UsageError(f"{' '.join(chosen)}: choose one of them")
        if self.ray_address and self.parallel != "ray" and self.workers == 1:
            raise UsageError("--ray_address: only with --parallel=ray or --workers")
        if self.profile_steps and chosen not in ([], ["--fold=job"]):
            raise UsageError(f"--profile_steps: not with {chosen[0]}; try it on one fold")
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise UsageError(f"--checkpoint_steps={self.checkpoint_steps}: must be at least 1")
        if self.profile_steps and not 1 <= self.profile_steps[0] <= self.profile_steps[1]:
            first, last = self.profile_steps
            raise UsageError(
                f"--profile_steps={first},{last}: give the first step, from 1 on, and the last"
            )


def parse_steps(parts: Sequence[str] | None) -> tuple[int, int] | None:
    """Reads --profile_steps, the first and the last step.

    Raises:
      UsageError: these are not two numbers.
    """
    if parts is None:
        return None
    try:
        first, last = map(int, parts)
    except ValueError:
        text = ",".join(parts)
        raise UsageError(f"--profile_steps={text}: give two numbers, such as 20,30") from None
    return first, last


def parse_folds(text: str, folds: int) -> tuple[int, ...]:
    """Reads --fold: "all", or fold indices with commas between.

    Args:
      text: the value of the flag.
      folds: number of folds of the run.

    Returns:
      The indices, each once, in ascending order.

    Raises:
      UsageError: a part is not a number, or not the index of a fold.
    """
    if text == "all":
        return tuple(range(folds))
    try:
        chosen = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise UsageError(f"--fold={text}: give all, or indices such as 0 or 0,2") from None
    for fold in chosen:
        if not 0 <= fold < folds:
            raise UsageError(f"--fold={text}: there is no fold {fold}; folds are 0 to {folds - 1}")
    return chosen
