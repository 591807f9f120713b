import subprocess

import tensorflow as tf
from repository import ROOT

from dftk.runs import environment


def test_the_revision_is_the_checkouts():
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert environment.git_revision().removesuffix("+changes") == head


def test_tensorflow_still_tells_whether_it_uses_onednn():
    """A canary: without this private function, config.json has `"onednn": null`."""
    assert environment.uses_onednn() in (True, False), (
        f"TensorFlow {tf.__version__} has no tensorflow.python.util._pywrap_util_port.IsMklEnabled"
    )


def test_versions_and_device_are_recorded():
    record = environment.environment("a device")
    assert record["device"] == "a device"
    assert {"dftk", "keras", "tensorflow", "scikit_learn"} <= set(record["versions"])
    assert "CPU cores" in record["machine"]
