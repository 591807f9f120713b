"""Folds on a cluster of two nodes, on this machine; slow: each fold is a process of its own."""

import os
import re
import signal
import threading
import time

import pytest
from quick_run import quick_config

from dftk.launch import ray_cluster
from dftk.runs.workdir import Workdir
from dftk.training.execution import ExecutionOptions
from dftk.training.resume.interruption import Interrupted
from dftk.utils.errors import UserError
from dftk.utils.files import read_csv


def node(**resources):
    return {"Alive": True, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "folds", "resources", "folds_per_node"),
    [
        ([node(CPU=64.0, GPU=4.0), node(CPU=8.0)], 5, (1, 1), 4),
        ([node(CPU=64.0, GPU=8.0)], 5, (1, 1), 5),
        ([node(CPU=64.0)], 5, (0, 12), 5),
        ([node(CPU=8.0)] * 5, 5, (0, 8), 1),
        ([node(CPU=8.0)] * 2, 5, (0, 2), 4),
        ([node(CPU=2.0)], 5, (0, 1), 2),
        ([node(CPU=0.0), node(CPU=4.0), {"Alive": False, "Resources": {}}], 1, (0, 4), 1),
    ],
)
def test_folds_share_what_the_cluster_has(nodes, folds, resources, folds_per_node):
    found = ray_cluster.resources_per_fold(nodes, folds)
    assert (found["num_gpus"], found["num_cpus"]) == resources
    assert ray_cluster.most_folds_per_node(nodes, found, folds) == folds_per_node


def test_a_cluster_with_no_room_is_refused():
    with pytest.raises(UserError, match="none of the cluster's 1 nodes offers"):
        ray_cluster.resources_per_fold([node(memory=1.0)], 5)


@pytest.fixture(scope="module")
def address():
    """Of a cluster of two nodes with one CPU each."""
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    one = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=one)
    cluster.add_node(**one)
    yield cluster.address
    cluster.shutdown()


def on_ray(address):
    return ExecutionOptions(parallel="ray", ray_address=address)


class Watch:
    """The run's lines; calls `act(process id)` once fold 0 has trained an epoch on its node."""

    def __init__(self, workdir, act):
        self.lines, self._log, self._act = [], workdir.fold_dir(0) / "train.log", act

    def say(self, text):
        self.lines.append(text)
        if match := re.fullmatch(r"fold 0: started on .*, process (\d+)", text):
            threading.Thread(target=self._wait, args=[int(match[1])], daemon=True).start()

    def _wait(self, process):
        while not self._log.exists() or "frozen 1/1" not in self._log.read_text():
            time.sleep(0.1)
        self._act(process)


def predictions(workdir, fold):
    return read_csv(workdir.fold_dir(fold) / "predictions.csv")


@pytest.mark.long
def test_a_killed_worker_costs_no_fold_and_changes_no_result(
    address, trained, data_dir, tmp_path, monkeypatch, capsys
):
    workdir = Workdir(tmp_path)
    watch = Watch(workdir, lambda process: os.kill(process, signal.SIGKILL))
    monkeypatch.setattr(ray_cluster, "say", watch.say)
    failed = ray_cluster.train_folds_on_ray(
        quick_config(data_dir), [0, 3], workdir, on_ray(address)
    )
    assert failed == {}
    text = "\n".join(watch.lines)
    assert "fold 0: started again after the loss of its worker" in text
    assert re.search(r"fold 0: started on .*, attempt 2", text)
    assert re.search(r"fold 3: finished in \d+ s on ", text)
    for fold in (0, 3):
        assert predictions(workdir, fold) == predictions(trained, fold)
    assert not list(tmp_path.rglob(".*")), "no temporary file is left"
    assert capsys.readouterr().out == "", "stdout is for results"
    assert "worker died" in (tmp_path / "ray.log").read_text()


@pytest.mark.long
def test_a_fold_that_fails_takes_no_other_with_it(
    address, trained, data_dir, tmp_path, monkeypatch
):
    workdir, lines = Workdir(tmp_path), []
    (tmp_path / "fold_3").touch()  # no folder can be made there
    monkeypatch.setattr(ray_cluster, "say", lines.append)
    failed = ray_cluster.train_folds_on_ray(
        quick_config(data_dir), [3, 0], workdir, on_ray(address)
    )
    assert list(failed) == [3]
    assert "FileExistsError" in failed[3]
    assert predictions(workdir, 0) == predictions(trained, 0)
    assert len([line for line in lines if line.startswith("fold 3: started again")]) == 1


@pytest.mark.long
def test_a_user_error_is_told_and_not_repeated(address, data_dir, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(ray_cluster, "say", lines.append)
    config = quick_config(data_dir).replaced(dataset="rvf10k")
    failed = ray_cluster.train_folds_on_ray(config, [1], Workdir(tmp_path), on_ray(address))
    assert "python -m tfds_rvf10k.build --manual_dir=DIR" in failed[1]
    assert [line.split(" after ")[0] for line in lines[2:]] == ["fold 1: not finished"]


@pytest.mark.long
def test_a_signal_saves_the_folds_and_the_same_call_goes_on(
    address, trained, data_dir, tmp_path, monkeypatch
):
    workdir = Workdir(tmp_path)
    arguments = quick_config(data_dir), [0], workdir, on_ray(address)
    watch = Watch(workdir, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(ray_cluster, "say", watch.say)
    with pytest.raises(Interrupted) as raised:
        ray_cluster.train_folds_on_ray(*arguments)
    assert raised.value.exit_status == 75
    assert not workdir.is_finished(0)
    assert workdir.has_states()
    assert watch.lines[-1].startswith("fold 0: stopped on ")
    assert re.search(
        r"fold 0: stopped by a signal, saved (after frozen epoch 1|in finetune epoch 1)",
        (workdir.fold_dir(0) / "train.log").read_text(),
    )
    monkeypatch.setattr(ray_cluster, "say", print)
    assert ray_cluster.train_folds_on_ray(*arguments) == {}
    assert predictions(workdir, 0) == predictions(trained, 0)
