"""The cores, memory and disk space that this process may use, within its container's limits."""

import math
import os
import shutil
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
# Environment variable: how many processes of one run share this machine's memory.
SIBLINGS = "DFTK_SIBLINGS"


def cores() -> int:
    """Returns how many CPU cores this process may use; at least 1.

    They are those of its affinity, or of its cgroups' quota if that is smaller. TensorFlow counts
    the affinity only. In a container with a quota of 2 cores on a machine of 64, it starts 64
    threads, and the quota stops them for most of every period.
    """
    quotas = [quota for folder in _cgroup_folders("cpu") for quota in _cpu_quota(folder)]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def available_memory() -> int:
    """Returns how many bytes of memory this process may still take.

    They are the kernel's estimate, or what is left of its cgroups' limits if that is less. The
    processes of a run that trains folds side by side get equal parts.
    """
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    limits = [int(meminfo["MemAvailable"].split()[0]) * 1024]
    for folder in _cgroup_folders("memory"):
        limits += _memory_left(folder)
    return min(limits) // int(os.environ.get(SIBLINGS, "1"))


def free_disk(folder: Path) -> int:
    """Returns how many bytes may still be written below `folder`."""
    return shutil.disk_usage(folder).free


def _cgroup_folders(controller: str) -> set[Path]:
    """Returns the cgroup folders whose limits apply to this process: its own and those above."""
    folders = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in (controllers or controller).split(","):  # none in version 2
            top = _CGROUPS / controllers
            own = top / path.lstrip("/")
            folders |= {folder for folder in (own, *own.parents) if folder.is_relative_to(top)}
    return folders


def _cpu_quota(folder: Path) -> list[int]:
    """Returns the whole cores that a cgroup's quota allows, rounded up; [] without a quota."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
    except FileNotFoundError:
        return []
    return [] if quota in ("max", "-1") else [math.ceil(int(quota) / int(period))]


def _memory_left(folder: Path) -> list[int]:
    """Returns the bytes left of a cgroup's limit; [] without a limit.

    Page cache that the kernel would give back is not counted as used.
    """
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        if (folder / limit).is_file() and (text := (folder / limit).read_text().strip()) != "max":
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return [int(text) - int((folder / used).read_text()) + int(stat.get(cache, 0))]
    return []
