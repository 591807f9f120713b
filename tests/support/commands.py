"""Runs the commands of dftk in processes of their own.

The processes of `run_command` are forked from one that has TensorFlow and Keras loaded: to import
them takes longer than all else that most tests need. `run_in_new_process` starts from nothing, for
tests that nothing of TensorFlow is loaded or written.
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
    """Returns what `python -m dftk.NAME ARGUMENTS` writes, and its exit status."""
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
    """Does the same as `run_command` in a process that has nothing loaded."""
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
