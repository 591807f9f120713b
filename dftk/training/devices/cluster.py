"""Which of the workers that train one model together this process is."""

import json
from collections.abc import Mapping

from dftk.utils.errors import UsageError


def find_worker(environ: Mapping[str, str]) -> tuple[int, int]:
    """Returns the index of this process among the workers, and their number.

    It reads TF_CONFIG as tf.distribute does: {"cluster": {"worker": ["host:port", ...]}, "task":
    {"type": "worker", "index": 0}}. If there is a "chief", that one is worker 0.

    Args:
      environ: of the process.

    Returns:
      (0, 1) without TF_CONFIG.

    Raises:
      UsageError: a TF_CONFIG that cannot be read or names no such worker.
    """
    if not (text := environ.get("TF_CONFIG")):
        return 0, 1
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster", {}), config.get("task", {})
        sizes = {job: len(jobs.get(job, ())) for job in ("chief", "worker")}
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"TF_CONFIG={text!r}: cannot be read ({error})") from None
    workers = sum(sizes.values())
    if not jobs or workers == 1 == len(jobs):
        return 0, 1
    if set(jobs) - set(sizes):
        raise UsageError(f"TF_CONFIG: job {min(set(jobs) - set(sizes))!r}; only chief and worker")
    if not 0 <= index < sizes.get(kind, 0):
        raise UsageError(f"TF_CONFIG: there is no {kind} {index} among {sizes}")
    return index + (sizes["chief"] if kind == "worker" else 0), workers
