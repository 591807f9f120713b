import os
import subprocess
import sys
from pathlib import Path

import pytest

from dftk.utils import limits


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """A folder in the place of /sys/fs/cgroup."""
    monkeypatch.setattr(limits, "_CGROUPS", tmp_path)
    return tmp_path


def test_limits_are_numbers_of_this_machine(tmp_path):
    assert 1 <= limits.cores() <= os.cpu_count()
    assert 10**8 < limits.available_memory() < 10**14
    assert 0 < limits.free_disk(tmp_path) < 10**18


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_cpu_quota_counts(cgroups, files, wanted):
    for name, text in files.items():
        (cgroups / name).parent.mkdir(exist_ok=True)
        (cgroups / name).write_text(text)
    version_2 = "cpu.max" in files
    own = Path("/proc/self/cgroup").read_text().splitlines()
    if any("cpu" in line.split(":")[1] for line in own) == version_2:
        pytest.skip("this machine's cgroups are of the other version")
    assert limits.cores() == (wanted or len(os.sched_getaffinity(0)))


def test_affinity_counts():
    code = "import os, dftk.utils.limits as l; os.sched_setaffinity(0, {0}); print(l.cores())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "1", answer.stderr[-500:]


@pytest.mark.parametrize(
    "names",
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_a_memory_limit_leaves_what_is_not_used_and_the_page_cache(tmp_path, names):
    limit, used, cache = names
    (tmp_path / limit).write_text("1000000\n")
    (tmp_path / used).write_text("700000\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\n{cache} 200000\n")
    assert limits._memory_left(tmp_path) == [500_000]
    (tmp_path / limit).write_text("max\n")
    assert limits._memory_left(tmp_path) == []


def test_limits_of_cgroups_above_count(cgroups, monkeypatch):
    real = Path.read_text
    text = "0::/pod/container\n"
    monkeypatch.setattr(
        Path, "read_text", lambda path: text if str(path) == "/proc/self/cgroup" else real(path)
    )
    (cgroups / "pod" / "container").mkdir(parents=True)
    for folder, memory, cpu in (
        ("pod", "1000000", "100000 100000"),
        ("pod/container", "max", "max 100000"),
    ):
        (cgroups / folder / "memory.max").write_text(memory)
        (cgroups / folder / "memory.current").write_text("400000")
        (cgroups / folder / "memory.stat").write_text("inactive_file 0\n")
        (cgroups / folder / "cpu.max").write_text(cpu)
    assert limits.available_memory() == 600_000
    assert limits.cores() == 1
