"""The door, in processes of its own."""

import json

import pytest
from test_cli import door

from dftk.evaluation.workdir import Workdir


def last_line(answer):
    return answer.stderr.strip().splitlines()[-1]


@pytest.mark.long
def test_a_run_from_the_command_line(data_dir, tmp_path):
    answer = door(
        "train", "--dataset=sample", f"--data_dir={data_dir}", "--fold=1", "--image_size=32",
        "--max_examples=100", "--frozen_epochs=2", "--finetune_epochs=0",
        f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == f"report: {tmp_path / 'run' / 'report.html'}"
    assert "fold 1" in answer.stdout
    assert "img/s" in answer.stderr
    assert "\r" not in answer.stderr, "no live line off a terminal"
    config = Workdir(tmp_path / "run").config()["config"]
    assert (config["finetune_epochs"], config["finetune_lr"]) == (0, 1e-3)
    assert [
        e["fold"] for e in json.loads((tmp_path / "run" / "metrics.json").read_text())["folds"]
    ] == [1]


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--dataset=rvf10k"], 1, "tfds build rvf10k --imports tfds_rvf10k --manual_dir"),
        (["--weights=/no/such.weights.h5"], 1, "/no/such.weights.h5: no such file"),
        (["--workdir=/dev/null/run"], 1, "--workdir=/dev/null/run: cannot write there"),
        (["--folds=7", "--dataset=DIRECTORY"], 2, "--folds=7"),
    ],
)
def test_errors_are_one_clear_line(flags, status, message, data_dir, dataset, tmp_path):
    directory = dataset.train[0].path.rpartition("/")[0]
    flags = [flag.replace("DIRECTORY", directory) for flag in flags]
    answer = door(
        "train", "--dataset=sample", f"--data_dir={data_dir}", f"--workdir={tmp_path}", *flags
    )
    assert answer.returncode == status
    assert last_line(answer).startswith("error: ")
    assert message in last_line(answer)
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""
