import subprocess

from repository import ROOT

from dftk.runs import environment


def test_the_revision_is_the_checkouts():
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert environment.git_revision().removesuffix("+changes") == head


def test_versions_and_device_are_recorded():
    record = environment.environment("a device")
    assert record["device"] == "a device"
    assert {"dftk", "keras", "tensorflow", "scikit_learn"} <= set(record["versions"])
    assert "CPU cores" in record["machine"]
    assert record["onednn"] in (True, False), "see tests/utils/test_tensorflow_internals.py"
