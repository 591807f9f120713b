"""The commands, each in a process of its own that is forked with TensorFlow loaded.

To import TensorFlow and Keras takes longer than most commands under test need for all else. What a
command refuses before it loads them is asked of `shell`: nothing of theirs is in its output.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from repository import ROOT

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tensorflow", "sklearn.metrics", "matplotlib.pyplot"])


def run_command(name, *arguments):
    """What `python -m dftk.NAME ARGUMENTS` writes, and its exit status."""
    command = [f"dftk.{name}", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, stream) for stream in ("stdout", "stderr")]
        for path in files:
            path.touch()
        process = _forks.Process(target=_run, args=(command, files, dict(os.environ)))
        process.start()
        process.join()
        written = [path.read_text() for path in files]
    return subprocess.CompletedProcess(command, process.exitcode, *written)


def run_in_new_process(name, *arguments):
    """As `door`, in a process of its own from the start."""
    command = [sys.executable, "-m", f"dftk.{name}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def _run(command, files, environment):
    for descriptor, path in zip((1, 2), files):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
