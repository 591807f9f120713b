"""Runs code in a Python process of its own."""

import subprocess
import sys
import textwrap

from repository import ROOT

from dftk.utils import events

_TWO_DEVICES = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
logical = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, logical)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
"""


def run_with_events(code):
    """Runs code with a pipe for events; returns its exit status, the events, what it writes."""
    pipe = events.EventPipe()
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, pass_fds=[pipe.child_end],
        env={"PATH": "", **pipe.environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    pipe.close_child_end()
    found = []
    while (more := pipe.read()) is not None:
        found += more
    pipe.close()
    written, _ = child.communicate()
    return child.returncode, found, written


def run_on_two_devices(code):
    """Runs code that has keras, np, tf and a `strategy` of two CPUs; returns what it prints."""
    answer = subprocess.run(
        [sys.executable, "-c", _TWO_DEVICES + textwrap.dedent(code)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return answer.stdout
