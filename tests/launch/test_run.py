"""Every way to spread the folds gives the plain run's result."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from commands import run_command
from quick_run import quick_config
from repository import ROOT

from dftk.launch import run
from dftk.runs.workdir import Workdir
from dftk.training.config import as_flags
from dftk.training.execution import ExecutionOptions
from dftk.utils.errors import UsageError, UserError


@pytest.fixture
def flags(data_dir):
    """Of the run that the fixture `trained` holds."""
    return as_flags(quick_config(data_dir))


def scores(path):
    result = json.loads((path / "metrics.json").read_text())
    del result["throughput"]
    return result


def test_merge_joins_what_is_there_again_and_again(trained):
    before = (trained.path / "metrics.json").read_text()
    assert run.merge(trained, "0,3") == run.merge(trained, "0,3")
    assert (trained.path / "metrics.json").read_text() == before


def test_merge_names_the_folds_that_are_not_there_after_the_report(trained):
    (trained.path / "report.html").unlink()
    with pytest.raises(UserError, match="not finished: fold 1, 2, 4; .* with --fold=0,3"):
        run.merge(trained, "all")
    assert (trained.path / "report.html").exists()


def test_merge_of_no_run_is_refused(tmp_path):
    answer = run_command("train", "--merge", f"--workdir={tmp_path}")
    assert answer.returncode == 1
    assert "no config.json of a run in it" in answer.stderr


def test_merge_goes_by_the_folds_of_the_run(trained, tmp_path):
    """Not by --folds of this command: a run of ten folds is not complete with five."""
    workdir = Workdir(shutil.copytree(trained.path, tmp_path / "ten"))
    record = workdir.config()
    record["config"]["folds"] = 10
    (workdir.path / "config.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="not finished: fold 1, 2, 4, 5, 6, 7, 8, 9;"):
        run.merge(workdir, "all")


def test_workers_by_tf_config_leave_no_room_for_other_ways(data_dir, tmp_path, monkeypatch):
    hosts = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(hosts))
    with pytest.raises(UsageError, match="TF_CONFIG is set"):
        run.train(
            quick_config(data_dir), [0], Workdir(tmp_path / "run"), ExecutionOptions(parallel="2")
        )


def test_a_job_without_a_number_is_refused(tmp_path):
    answer = run_command("train", "--fold=job", f"--workdir={tmp_path}")
    assert answer.returncode == 2
    assert "DFTK_FOLD" in answer.stderr


@pytest.mark.long
def test_an_array_of_jobs_and_a_merge_equal_the_plain_run(trained, flags, tmp_path):
    """As SLURM starts them, two at once; TF_CONFIG, which Vertex AI sets, does not matter."""
    workdir = tmp_path / "array"
    elsewhere = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": 0}})
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", "dftk.train", "--fold=job", *flags, f"--workdir={workdir}"],
            env={**os.environ, "SLURM_ARRAY_TASK_ID": str(fold), "TF_CONFIG": elsewhere},
            cwd=ROOT,
        )
        for fold in (0, 3)
    ]
    assert [task.wait(timeout=200) for task in tasks] == [0, 0]
    assert not (workdir / "report.html").exists(), "no task can know whether it is the last"
    for _ in range(2):
        answer = run_command("train", "--merge", "--fold=0,3", f"--workdir={workdir}")
        assert answer.returncode == 0, answer.stderr
        assert scores(workdir) == scores(trained.path)


@pytest.mark.long
def test_a_profile_of_the_steps_asked_for(flags, tmp_path):
    workdir = tmp_path / "profiled"
    answer = run_command(
        "train", "--fold=0", "--profile_steps=3,5", *flags,
        f"--workdir={workdir}",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert "profile of steps 3 to 5" in answer.stderr
    assert list((workdir / "tensorboard").rglob("*.xplane.pb"))


@pytest.mark.long
def test_a_full_disk_keeps_what_is_trained(flags, tmp_path, trained):
    """A limit on file sizes stands for the disk: the state of fine-tuning is larger than it."""
    workdir = tmp_path / "full"
    command = f"ulimit -f 3000; exec {sys.executable} -m dftk.train --fold=0 --workdir={workdir} "
    answer = subprocess.run(
        ["bash", "-c", command + " ".join(flags)], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 1
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {workdir}/fold_0/checkpoint: cannot write the state (File too")
    assert "the last good state, state-000001.npz, is kept" in last
    answer = run_command("train", "--fold=0", *flags, f"--workdir={workdir}")
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert "fold 0: goes on after frozen epoch 1" in answer.stderr
    ours, theirs = (path / "fold_0" / "predictions.csv" for path in (workdir, trained.path))
    assert ours.read_text() == theirs.read_text()
