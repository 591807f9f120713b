"""Timing that a noisy machine does not mislead: interleaved, by medians, with intervals."""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], Any]
BUDGET_S = 1.5  # seconds of calls that one rate is the median of
_MIN_ROUNDS = 3  # pairs of a comparison, and calls of a rate


def seconds(work: Work) -> float:
    """Returns the wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Ratio of two times, theirs / ours.

    Attributes:
      median: over the pairs.
      low, high: its 95 % bootstrap interval.
      ours_s, theirs_s: median times, in seconds.
    """

    median: float
    low: float
    high: float
    ours_s: float
    theirs_s: float

    @classmethod
    def of(cls, pairs: np.ndarray) -> "Ratio":
        """Computes the ratio of times measured in pairs, float [n, 2]: theirs, ours."""
        ratios = pairs[:, 0] / pairs[:, 1]
        resampled = np.random.default_rng(0).choice(ratios, (1000, len(ratios)))
        low, high = np.percentile(np.median(resampled, axis=1), [2.5, 97.5])
        theirs_s, ours_s = np.median(pairs, axis=0)
        return cls(float(np.median(ratios)), float(low), float(high), float(ours_s),
                   float(theirs_s))  # fmt: skip


def compare(ours: Work, theirs: Work, rounds: int = 9, limit: float | None = None) -> Ratio:
    """Times two works in turn, A B A B ..., after one call of each as a warm-up.

    Both times of a pair are taken one after the other, so whatever else the machine does at that
    moment slows both and cancels in their ratio.

    Args:
      ours: the work whose speed is of interest.
      theirs: what it is compared with.
      rounds: number of pairs, and the largest one with `limit`.
      limit: of a gate that asks for at least this ratio. Timing stops after three pairs or more
        once the whole interval is above the limit. It never stops early below the limit: a failure
        is always the result of all rounds.

    Returns:
      theirs / ours, pair by pair: how many times faster ours is.
    """
    for work in (ours, theirs):
        work()
    pairs: list[tuple[float, float]] = []
    while len(pairs) < rounds:
        pairs.append((seconds(theirs), seconds(ours)))
        ratio = Ratio.of(np.array(pairs))
        if limit is not None and len(pairs) >= _MIN_ROUNDS and ratio.low > limit:
            break
    return ratio


def rate(work: Work, examples: int, before: Work | None = None) -> float:
    """Returns examples per second: the median of as many calls as fit the budget, at least three.

    Args:
      work: what is timed. Its first call, with its traces, does not count.
      examples: that one call processes.
      before: called before each timed call, and not timed.
    """
    work()
    times: list[float] = []
    while len(times) < _MIN_ROUNDS or sum(times) < BUDGET_S:
        if before:
            before()
        times.append(seconds(work))
    return examples / float(np.median(times))


def drop_from_page_cache(paths: Iterable[str | Path]) -> None:
    """Drops files from the page cache, so that the next read comes from storage."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def describe_machine() -> dict[str, Any]:
    """Returns what absolute figures depend on: processor, cores, memory, GPUs, versions."""
    import tensorflow as tf

    from dftk.utils import limits

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": limits.cores(),
        "memory_gb": round(memory / 1e9),
        "gpus": gpus,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
    }
