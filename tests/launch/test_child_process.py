import os
import signal
import subprocess
import sys
import time

import pytest
from repository import ROOT

from dftk.launch import child_process


def test_a_child_runs_on_its_cores():
    core = min(os.sched_getaffinity(0))
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    child = child_process.start(
        [sys.executable, "-c", code], cores=[core], stdout=subprocess.PIPE, text=True
    )
    assert child.communicate()[0] == f"[{core}]\n"


def test_a_child_ends_with_its_parent():
    code = """
import sys, time
from dftk.launch import child_process
print(child_process.start(["sleep", "100"]).pid, flush=True)
time.sleep(100)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    assert os.path.exists(f"/proc/{child}")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.stdout.close()


def is_running(process):
    """Whether it runs; one that has ended may wait for ever to be reaped in a container."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("status", "words"), [(1, "exit status 1"), (-9, "exit status -9 (SIGKILL)")]
)
def test_the_end_of_a_process_in_words(status, words):
    assert child_process.exit_words(status) == words
