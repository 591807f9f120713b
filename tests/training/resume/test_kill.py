"""kill -9 at any moment, the same command again: the same bits as a run that never stopped."""

import functools
import itertools
import random
import signal
import subprocess
import sys
import time

import pytest
from repository import ROOT
from run_contents import contents

FLAGS = (
    "--dataset=sample", "--fold=0,1", "--image_size=32",
    "--max_examples=100", "--batch_size=8", "--frozen_epochs=2", "--finetune_epochs=2",
    "--augment", "--checkpoint_steps=3", "--base_batchnorm=update", "--head_batchnorm=precise",
    "--temperature_scaling",
)  # fmt: skip
MODELS = {  # the smallest network with BatchNorm and dropout, trained as the others are
    "residual": (
        "--model=residual", "--head=dense", "--crop_size=0", "--decay=plateau", "--keep=best",
        "--augment_colour", "--warmup=0",
    ),
    "xception": ("--model=xception",),
}  # fmt: skip


def start(data_dir, workdir, model="residual"):
    command = [sys.executable, "-m", "dftk.train", *FLAGS, f"--data_dir={data_dir}",
               *MODELS[model]]  # fmt: skip
    with open(f"{workdir}.log", "a") as log:
        return subprocess.Popen(
            [*command, f"--workdir={workdir}"], cwd=ROOT, stderr=log, stdout=log
        )


# What is waited for before the kill: returns once it has come about.
def some_time(process, _, rng):
    end = time.time() + rng.uniform(3, 12)
    wait_until(process, lambda: time.time() > end)


def a_state_half_written(process, workdir, rng):
    skip = rng.randrange(6)
    seen = set()

    def enough():
        seen.update(p.name for p in workdir.glob("fold_*/checkpoint/.part-*"))
        return len(seen) > skip

    wait_until(process, enough)


def the_end_of_a_phase(process, workdir, _):
    lines = workdir.with_suffix(".log").read_text().count("frozen 2/2")
    wait_until(process, lambda: workdir.with_suffix(".log").read_text().count("frozen 2/2") > lines)


def a_fold_half_written(process, workdir, _):
    before = set(workdir.glob("fold_*/*.*"))
    wait_until(
        process,
        lambda: set(workdir.glob("fold_*/*.*")) | set(workdir.glob("fold_*/.part*")) > before,
    )


MOMENTS = (some_time, a_state_half_written, the_end_of_a_phase, a_fold_half_written)


def wait_until(process, condition):
    while process.poll() is None and not condition():
        time.sleep(0.0005)


def finish(process):
    assert process.wait(timeout=300) == 0


@pytest.fixture(scope="module")
def reference(data_dir, tmp_path_factory):
    """What a run of a model that is never stopped ends with."""

    @functools.cache
    def of(model):
        workdir = tmp_path_factory.mktemp("kill") / "reference"
        finish(start(data_dir, workdir, model))
        return contents(workdir)

    return of


@pytest.mark.parametrize(
    ("kills", "model"),
    [
        pytest.param(2, "residual", marks=pytest.mark.slow),
        pytest.param(20, "xception", marks=pytest.mark.long),
    ],
)
def test_killed_at_any_moment_a_run_ends_with_the_same_bits(
    reference, data_dir, tmp_path, kills, model
):
    rng, moments, runs = random.Random(0), itertools.cycle(MOMENTS), 0
    while kills:
        workdir = tmp_path / f"run_{(runs := runs + 1)}"
        while not (workdir / "report.html").exists():
            process = start(data_dir, workdir, model)
            if kills:
                moment = next(moments)
                moment(process, workdir, rng)
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    kills -= 1
                    print(f"killed at {moment.__name__}, {kills} kills to come")
                    continue
            finish(process)
        found = contents(workdir)
        for part, expected in reference(model).items():
            assert found[part] == expected, part
        assert not list(workdir.glob("fold_*/**/.part-*")), "no orphan"
        assert not list(workdir.rglob("checkpoint")), "no state of a fold that is done"


@pytest.mark.long
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_signal_saves_and_says_so(reference, data_dir, tmp_path, number):
    workdir = tmp_path / "run"
    process = start(data_dir, workdir)
    wait_until(process, lambda: "finetune 1/2" in (tmp_path / "run.log").read_text())
    process.send_signal(number)
    assert process.wait(timeout=60) == {signal.SIGTERM: 75, signal.SIGINT: 130}[number]
    last = (tmp_path / "run.log").read_text().splitlines()[-1]
    assert last.startswith("fold 0: stopped by a signal, saved ")
    assert "finetune epoch" in last
    assert last.endswith("the same command goes on from there")
    finish(start(data_dir, workdir))
    where = last.partition("saved ")[2].partition(";")[0]
    assert f"fold 0: goes on {where}" in (tmp_path / "run.log").read_text()
    assert contents(workdir) == reference("residual")


@pytest.mark.long
def test_other_settings_do_not_go_on(data_dir, tmp_path):
    workdir = tmp_path / "run"
    process = start(data_dir, workdir)
    wait_until(process, lambda: list(workdir.glob("fold_0/checkpoint/state-*.npz")))
    process.kill()
    process.wait()
    answer = subprocess.run(
        [sys.executable, "-m", "dftk.train", *FLAGS, f"--data_dir={data_dir}",
         *MODELS["residual"], f"--workdir={workdir}", "--dropout=0.2"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "holds a run with dropout=0.3, this one has dropout=0.2" in answer.stderr
    states = list(workdir.glob("fold_0/checkpoint/state-*.npz"))
    assert states
    assert all(path.stat().st_size for path in states)
