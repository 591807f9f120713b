"""Two workers in step, started by Ray Train on this machine."""

import os
import re
import threading
import time

import pytest
from quick_run import quick_config

from dftk.launch import ray_workers
from dftk.runs.workdir import Workdir
from dftk.training.execution import ExecutionOptions
from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import read_csv


@pytest.mark.parametrize(
    ("resources", "gpus"), [({"CPU": 2.0}, False), ({"CPU": 1.0, "GPU": 4.0}, True)]
)
def test_workers_take_gpus_where_there_are_any(resources, gpus):
    assert ray_workers._use_gpus(resources, 2) is gpus


def test_more_workers_than_room_are_refused():
    with pytest.raises(UsageError, match="--workers=3: the cluster has 2 GPUs"):
        ray_workers._use_gpus({"CPU": 64.0, "GPU": 2.0}, 3)


def kill_worker_1(path):
    """Once it has trained an epoch."""
    log = path / "worker_1.log"
    while not log.exists() or "frozen 1/1" not in log.read_text():
        time.sleep(0.1)
    os.kill(int(re.search(r"^worker 1 on .*, process (\d+)$", log.read_text(), re.M)[1]), 9)


@pytest.mark.long
def test_two_workers_train_a_fold_one_of_them_killed(data_dir, tmp_path, capsys):
    pytest.importorskip("ray.train")
    workdir, config = Workdir(tmp_path), quick_config(data_dir)
    threading.Thread(target=kill_worker_1, args=[tmp_path], daemon=True).start()
    ray_workers.train_with_workers(config, [0], workdir, ExecutionOptions(workers=2))
    assert "2 workers" in workdir.config()["device"]
    assert len(read_csv(workdir.fold_dir(0) / "predictions.csv")) == 40
    for worker in (0, 1):
        log = (tmp_path / f"worker_{worker}.log").read_text()
        assert log.count("finetune 1/1") == 1
    assert capsys.readouterr().out == "", "stdout is for results"
    other = config.replaced(seed=7)
    with pytest.raises(UserError, match="holds a run with seed=42, this one has seed=7"):
        ray_workers.train_with_workers(other, [1], workdir, ExecutionOptions(workers=2))
