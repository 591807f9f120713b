"""Execution options of a run, and the flags that they are read from; no TensorFlow here."""

import dataclasses
from collections.abc import Sequence

from dftk.utils.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Execution options. They never change results.

    Attributes:
      checkpoint_steps: the state is also saved after every so many steps of an epoch.
      profile_steps: first and last step of a TensorBoard trace.
      job: whether this process is a task of an array of jobs: it trains one fold, without a report.
      parallel: number of folds at once on this machine, "auto" for one on each GPU, or "ray".
      workers: processes that train each fold together, started by Ray.
      ray_address: of the cluster to join; None starts one here.

    Raises:
      UsageError: a value out of range, or options that exclude each other.
    """

    checkpoint_steps: int | None = None
    profile_steps: tuple[int, int] | None = None
    job: bool = False
    parallel: str = "1"
    workers: int = 1
    ray_address: str | None = None

    @property
    def processes(self) -> int | None:
        """Number of folds at once on this machine; None for as many as it has GPUs."""
        return None if self.parallel == "auto" else int(self.parallel)

    def __post_init__(self) -> None:
        known = self.parallel in ("auto", "ray")
        if not known and not (self.parallel.isdecimal() and int(self.parallel) >= 1):
            raise UsageError(f"--parallel={self.parallel}: give auto, ray, or a number from 1 on")
        if self.workers < 1:
            raise UsageError(f"--workers={self.workers}: must be at least 1")
        ways = {
            "--fold=job": self.job,
            f"--parallel={self.parallel}": self.parallel != "1",
            f"--workers={self.workers}": self.workers > 1,
        }
        if len(chosen := [way for way, taken in ways.items() if taken]) > 1:
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
    """Returns the first and the last step that `--profile_steps` names; None if it is not given.

    Raises:
      UsageError: not two numbers.
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
    """Returns the folds that `--fold` names: "all", or indices separated by commas.

    Args:
      text: value of the flag.
      folds: number of folds.

    Raises:
      UsageError: not a number, or not one of the folds.
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
