"""Two workers in step, started by Ray Train on this machine."""

import dataclasses
import json

import pytest
from conftest import quick_config

from dftk.config import UsageError, UserError
from dftk.evaluation.files import read_csv
from dftk.evaluation.workdir import Workdir
from dftk.options import RunOptions
from dftk.training import ray_workers


@pytest.mark.parametrize(
    ("resources", "gpus"), [({"CPU": 2.0}, False), ({"CPU": 1.0, "GPU": 4.0}, True)]
)
def test_workers_take_gpus_where_there_are_any(resources, gpus):
    assert ray_workers._has_room(resources, 2) is gpus


def test_more_workers_than_room_are_refused():
    with pytest.raises(UsageError, match="--workers=3: the cluster has 2 GPUs"):
        ray_workers._has_room({"CPU": 64.0, "GPU": 2.0}, 3)


@pytest.mark.slow
def test_two_workers_train_a_fold_and_the_next_run_is_refused_in_their_words(data_dir, tmp_path):
    pytest.importorskip("ray.train")
    workdir, config = Workdir(tmp_path), quick_config(data_dir)
    ray_workers.train_with_workers(config, [0], workdir, RunOptions(), 2, None)
    assert "2 workers" in workdir.config()["device"]
    assert len(read_csv(workdir.fold_dir(0) / "predictions.csv")) == 40
    assert json.loads((workdir.fold_dir(0) / "throughput.json").read_text())
    for worker in (0, 1):
        assert "finetune 1/1" in (tmp_path / f"worker_{worker}.log").read_text()
    other = dataclasses.replace(config, seed=7)
    with pytest.raises(UserError, match="holds a run with seed=42, this one has seed=7"):
        ray_workers.train_with_workers(other, [1], workdir, RunOptions(), 2, None)
