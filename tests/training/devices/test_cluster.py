"""TF_CONFIG, and two real workers on this machine."""

import json
import os
import subprocess
import sys

import pytest
from ports import free_ports
from repository import ROOT
from run_contents import contents

from dftk.evaluation.stats.metrics import SCORES
from dftk.training.devices import cluster
from dftk.utils.errors import UsageError
from dftk.utils.files import read_csv

WORKERS = {"worker": ["a:1", "b:1"]}


def environ(jobs, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"TF_CONFIG": "{}"}, (0, 1)),
        (environ({"worker": ["a:1"]}), (0, 1)),
        (environ(WORKERS, index=1), (1, 2)),
        (environ({"chief": ["c:1"], **WORKERS}, "chief"), (0, 3)),
        (environ({"chief": ["c:1"], **WORKERS}, index=1), (2, 3)),
    ],
)
def test_this_process_is_found_among_the_workers(environment, expected):
    assert cluster.find_worker(environment) == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG='{': cannot be read"),
        ({"TF_CONFIG": "[]"}, "cannot be read"),
        (environ(WORKERS, index=2), "there is no worker 2 among"),
        (environ(WORKERS, "chief"), "there is no chief 0"),
        (environ({**WORKERS, "ps": ["p:1"]}), "job 'ps'; only chief and worker"),
    ],
)
def test_what_it_cannot_mean_is_named(environment, message):
    with pytest.raises(UsageError, match=message):
        cluster.find_worker(environment)


def start_workers(count, flags, workdirs):
    hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "dftk.train", *flags, f"--workdir={workdir}"],
            env={**os.environ, **environ({"worker": hosts}, index=index)},
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index, workdir in zip(range(count), workdirs)
    ]  # fmt: skip


LOGICAL = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from dftk import cli, train
cli.run(train.main)
"""


@pytest.mark.slow
def test_two_workers_and_two_devices_give_the_metrics_of_one(data_dir, tmp_path):
    """Without dropout, whose masks differ by replica; the base frozen, see test_devices."""
    flags = [
        "--dataset=sample", f"--data_dir={data_dir}", "--fold=0,1", "--image_size=32",
        "--max_examples=100", "--finetune_epochs=0", "--frozen_epochs=2", "--dropout=0",
        "--model=residual", "--head=dense", "--crop_size=0", "--head_batchnorm=moving",
        "--decay=plateau", "--keep=best", "--augment_colour", "--warmup=0",
    ]  # fmt: skip
    two, one, devices = (tmp_path / name for name in ("two", "one", "devices"))
    workers = start_workers(2, flags, [two, two])
    outputs = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    subprocess.run(
        [sys.executable, "-m", "dftk.train", *flags, f"--workdir={one}"], cwd=ROOT, check=True
    )
    assert outputs[0][0].startswith("  "), "the chief prints the table"
    assert outputs[1][0] == "", "the other prints none, and writes nothing"
    command = [sys.executable, "-c", LOGICAL, *flags, f"--workdir={devices}"]
    subprocess.run(command, cwd=ROOT, check=True)
    assert "2 x CPU" in (devices / "config.json").read_text()
    expected = contents(one)["metrics"]
    for workdir in (two, devices):
        ours, theirs = (
            [row["probability"] for row in read_csv(path / "predictions.csv")]
            for path in (workdir, one)
        )
        assert ours == pytest.approx(theirs, abs=1e-4)
        found = contents(workdir)["metrics"]
        for part in ("mean", "std", "pooled"):
            for name in SCORES:
                # Two probabilities that all but tie may change places: a step of the ROC curve.
                step = 2 / 20**2 if name == "auc" else 1e-4
                value = expected[part][name]
                assert found[part][name] == pytest.approx(value, abs=2 * step), name


@pytest.mark.long
def test_workers_that_do_not_share_the_workdir_are_refused(data_dir, tmp_path, trained):
    """One would go on where the other begins."""
    flags = ["--dataset=sample", f"--data_dir={data_dir}", "--fold=0", "--image_size=32",
             "--max_examples=200", "--frozen_epochs=1", "--finetune_epochs=1"]  # fmt: skip
    workers = start_workers(2, flags, [trained.path, tmp_path / "other"])
    for worker in workers:
        errors = worker.communicate(timeout=120)[1]
        assert worker.returncode == 1
        assert "not all of them see the same flags, dataset and --workdir" in errors
