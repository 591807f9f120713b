"""Pages that a process has to be given anew when it allocates again what it has just freed."""

import os
import subprocess
import sys

import pytest
from repository import ROOT

from dftk.utils import cpu

CODE = """
import resource, sys, threading
from dftk.utils import cpu
kept = cpu.keep_freed_memory() if sys.argv[1] == "kept" else None
import numpy as np

def allocate():
    for _ in range(12):
        np.ones(2**24)  # 128 MB
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

faults = []
thread = threading.Thread(target=allocate)
thread.start()
thread.join()
print(kept, faults[-1] - faults[1])
"""


def faults(how, **environment):
    command = [sys.executable, "-c", CODE, how]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    kept, count = done.stdout.split()
    return kept, int(count)


@pytest.fixture(autouse=True)
def glibcs_own(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("MALLOC_", "GLIBC_TUNABLES")):
            monkeypatch.delenv(name)


@pytest.mark.skipif(cpu.has_gpu(), reason="there is a GPU")
def test_freed_memory_is_kept_for_the_next_allocation():
    (_, plain), (kept, few) = faults("plain"), faults("kept")
    assert kept == "True"
    assert few < plain / 20, (few, plain)


def test_the_environment_has_the_say():
    kept, _ = faults("kept", MALLOC_ARENA_MAX="4")
    assert kept == "False"


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_onednn_is_used_unless_the_environment_says_otherwise(given, expected, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if given:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
    code = (
        "from dftk.utils import cpu; cpu.prepare();"
        "from dftk.utils import tensorflow_internals;"
        "print(int(tensorflow_internals.onednn_is_enabled()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_a_glibc_that_refuses_to_keep_large_blocks_is_left_as_it_is(monkeypatch):
    """Any other setting would then fix the threshold at its least."""
    asked = []

    class Library:
        def mallopt(self, parameter, _):
            asked.append(parameter)
            return 0

    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda _: Library())
    monkeypatch.setattr(cpu, "has_gpu", lambda: False)
    assert not cpu.keep_freed_memory()
    assert asked == [cpu._MMAP_THRESHOLD]


COMMANDS = [path.stem for path in (ROOT / "dftk").glob("*.py") if "cli.run(" in path.read_text()]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prepares_before_tensorflow_is_loaded(name):
    code = (
        "import runpy, sys\n"
        "from dftk.utils import cpu\n"
        "cpu.prepare = lambda: print('prepared', 'tensorflow' in sys.modules)\n"
        "sys.argv = [sys.argv[1], '--nonsense']\n"
        "runpy.run_module(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, f"dftk.{name}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "prepared False\n"), done.stderr
