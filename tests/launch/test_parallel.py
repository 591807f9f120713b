"""Folds side by side: progress, a queue, failures that affect no other fold, signals."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import run_command
from quick_run import quick_config
from repository import ROOT

from dftk.launch import parallel
from dftk.launch.machine_shares import MachineShare
from dftk.training.config import as_flags
from dftk.utils import events
from dftk.utils.events import Event
from dftk.utils.files import read_csv


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "exit status 1, see fold_0/train.log"),
        (Event(events.ERROR, "--a=1: give 2", "UserError", True), "exit status 1, --a=1: give 2"),
        (
            Event(events.ERROR, "why", "ValueError"),
            "exit status 1, ValueError: why; see fold_0/train.log",
        ),
    ],
)
def test_a_failure_names_the_error_or_the_log(error, words):
    process = subprocess.Popen(["false"])
    process.wait()
    child = parallel._FoldProcess(
        fold=0, attempt=1, share=MachineShare({}, [0]), process=process, pipe=None,
        log=Path("fold_0/train.log"), error=error,
    )  # fmt: skip
    assert child.failure() == words


@pytest.fixture
def flags(data_dir):
    config = quick_config(data_dir).replaced(model="cnn", frozen_epochs=0, finetune_epochs=2)
    return as_flags(config)


@pytest.mark.slow
def test_two_at_once_and_a_killed_fold_is_tried_again(flags, tmp_path):
    workdir, plain = tmp_path / "run", tmp_path / "plain"
    process = subprocess.Popen(
        [sys.executable, "-m", "dftk.train", "--fold=0,3", "--parallel=2", *flags,
         f"--workdir={workdir}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log = workdir / "fold_0" / "train.log"
    # Not the line of the epoch: its state is written beside what follows.
    while not list(workdir.glob("fold_0/checkpoint/state-*.npz")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(child_of(process.pid, fold=0), signal.SIGKILL)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"fold 0: attempt 1 failed: exit status -9 (SIGKILL), see {log}" in errors
    assert "fold 0: goes on after finetune epoch 1" in log.read_text()
    assert "report:" in output
    assert len(re.findall(r"^fold [03]  finetune 2/2", errors, re.M)) == 2
    assert "\r" not in log.read_text() + errors, "no live line off a terminal"
    assert run_command("train", "--fold=0", *flags, f"--workdir={plain}").returncode == 0
    # With one core, sums are rounded in another order, so only about the same.
    ours, theirs = (read_csv(path / "fold_0" / "predictions.csv") for path in (workdir, plain))
    assert [row["filename"] for row in ours] == [row["filename"] for row in theirs]
    assert [float(row["probability"]) for row in ours] == pytest.approx(
        [float(row["probability"]) for row in theirs], abs=1e-3
    )


@pytest.mark.slow
def test_on_a_narrow_terminal_live_lines_are_shown_and_kept_out_of_the_log(flags, tmp_path):
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dftk.train", "--fold=0", "--parallel=2", *flags,
         f"--workdir={tmp_path}"],
        cwd=ROOT, env={**os.environ, "COLUMNS": "40"}, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
        while data := os.read(ours, 1 << 16):
            shown += data
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    live = re.findall(r"\x1b\[J(fold 0  finetune [12]/2  \d+/160.*)\r\n", shown.decode())
    assert live
    assert max(map(len, live)) == 39
    assert b"fold 0  finetune 2/2  loss " in shown
    log = (tmp_path / "fold_0" / "train.log").read_text()
    assert "fold 0  finetune 2/2  loss " in log
    assert "\r" not in log
    assert "\x1b" not in log


def child_of(pid, fold):
    """The process that trains the fold."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    for child in map(int, children.split()):
        with open(f"/proc/{child}/environ") as file:
            if f"DFTK_FOLD={fold}\0" in file.read():
                return child
    raise AssertionError("no such child")


@pytest.mark.long
def test_a_fold_that_fails_twice_is_reported_and_the_others_are_kept(flags, tmp_path):
    workdir = tmp_path / "run"
    (workdir / "fold_3").mkdir(parents=True)
    (workdir / "fold_3" / "checkpoint").write_text("in the way")
    answer = run_command("train", "--fold=0,3", "--parallel=2", *flags, f"--workdir={workdir}")
    assert answer.returncode == 1
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: fold 3: exit status 1, {workdir}/fold_3/checkpoint")
    assert "the same command tries again" in last
    assert answer.stderr.count("fold 3: attempt") == 2
    result = json.loads((workdir / "metrics.json").read_text())
    assert [entry["fold"] for entry in result["folds"]] == [0]


@pytest.mark.long
def test_a_signal_stops_all_and_the_death_of_the_parent_too(flags, tmp_path):
    workdir = tmp_path / "run"
    for number, status in ((signal.SIGTERM, 75), (signal.SIGKILL, -9)):
        process = subprocess.Popen(
            [sys.executable, "-m", "dftk.train", "--fold=0,3", "--parallel=2", *flags,
             "--finetune_epochs=50", f"--workdir={workdir}"],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        logs = [workdir / f"fold_{fold}" / "train.log" for fold in (0, 3)]
        sizes = [log.stat().st_size if log.exists() else 0 for log in logs]
        while not all(log.exists() and "img/s" in log.read_text()[size:]
                      for log, size in zip(logs, sizes)):  # fmt: skip
            assert process.poll() is None
            time.sleep(0.05)
        children = [child_of(process.pid, fold) for fold in (0, 3)]
        before = {path: path.stat().st_mtime_ns for path in workdir.glob("fold_*/checkpoint/st*")}
        process.send_signal(number)
        assert process.wait(timeout=60) == status
        for _ in range(600):
            if not any(os.path.exists(f"/proc/{child}") for child in children):
                break
            time.sleep(0.1)
        else:
            raise AssertionError("a child lives on")
        after = {path: path.stat().st_mtime_ns for path in workdir.glob("fold_*/checkpoint/st*")}
        assert set(after) - set(before), "its state is saved"
