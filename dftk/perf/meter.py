"""Times work so that a noisy machine does not fool us: in turn, by medians, with intervals."""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], Any]
BUDGET_S = 1.5  # of calls that one rate is the median of


def seconds(work: Work) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Of two times: the median over pairs, and its 95 % bootstrap interval."""

    median: float
    low: float
    high: float
    ours_s: float  # median
    theirs_s: float  # median


def compare(ours: Work, theirs: Work, rounds: int = 9) -> Ratio:
    """Times two works in turn, A B A B ..., each once before as a warm-up.

    Returns:
      theirs / ours, pair by pair: how many times faster ours is. Neighbours in time share the
      machine's mood, so that it cancels.
    """
    for work in (ours, theirs):
        work()
    pairs = np.array([(seconds(theirs), seconds(ours)) for _ in range(rounds)])
    ratios = pairs[:, 0] / pairs[:, 1]
    draws = np.random.default_rng(0).choice(ratios, (1000, rounds))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    theirs_s, ours_s = np.median(pairs, axis=0)
    return Ratio(float(np.median(ratios)), float(low), float(high), float(ours_s), float(theirs_s))


def rate(work: Work, examples: int, before: Work | None = None) -> float:
    """Examples per second: the median of as many calls as fit the budget, three at least.

    The first call, with its traces, does not count; nor does `before`, called before each.
    """
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < BUDGET_S:
        if before:
            before()
        times.append(seconds(work))
    return examples / float(np.median(times))


def forget(paths: Iterable[str | Path]) -> None:
    """Drops files from the page cache, so that the next read is the storage's."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def machine() -> dict[str, Any]:
    """What absolute figures belong to: processor, cores, memory, accelerators, versions."""
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
