"""What this process may use of its machine: cores, memory, disk; a container's limits included."""

import math
import os
import shutil
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
SIBLINGS = "DFTK_SIBLINGS"  # environment: how many processes of one run share this machine's memory


def cores() -> int:
    """CPU cores this process may use: its affinity, or its cgroups' quota if smaller; at least 1.

    TensorFlow counts the affinity only: in a container with a quota of 2 on a machine of 64 it
    starts 64 threads, which the quota then stops for most of every period.
    """
    quotas = [quota for folder in _cgroup_folders("cpu") for quota in _cpu_quota(folder)]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def available_memory() -> int:
    """Bytes this process may still take: the kernel's estimate, or its cgroups' rest if smaller.

    Shared out evenly among the processes of a run that trains folds side by side.
    """
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    limits = [int(meminfo["MemAvailable"].split()[0]) * 1024]
    for folder in _cgroup_folders("memory"):
        limits += _memory_rest(folder)
    return min(limits) // int(os.environ.get(SIBLINGS, "1"))


def free_disk(folder: Path) -> int:
    """Bytes that may still be written below `folder`."""
    return shutil.disk_usage(folder).free


def _cgroup_folders(controller: str) -> set[Path]:
    """Folders whose limits hold for this process: its own ones, and those above them."""
    folders = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in (controllers or controller).split(","):  # version 2 names none
            top = _CGROUPS / controllers
            own = top / path.lstrip("/")
            folders |= {folder for folder in (own, *own.parents) if folder.is_relative_to(top)}
    return folders


def _cpu_quota(folder: Path) -> list[int]:
    """Whole cores that a cgroup's quota allows, rounded up; empty without one."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
    except FileNotFoundError:
        return []
    return [] if quota in ("max", "-1") else [math.ceil(int(quota) / int(period))]


def _memory_rest(folder: Path) -> list[int]:
    """What a cgroup's limit leaves, page cache that the kernel would give back not counted."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        if (folder / limit).is_file() and (text := (folder / limit).read_text().strip()) != "max":
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return [int(text) - int((folder / used).read_text()) + int(stat.get(cache, 0))]
    return []
