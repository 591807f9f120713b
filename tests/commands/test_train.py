"""python -m dftk.train, in processes of its own."""

import json
import shutil

import pytest
from commands import run_command

from dftk.images import encoded
from dftk.input import residency
from dftk.runs.workdir import Workdir


def last_line(answer):
    return answer.stderr.strip().splitlines()[-1]


@pytest.mark.long
def test_a_run_from_the_command_line(data_dir, tmp_path):
    answer = run_command(
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
        (["--dataset=rvf10k"], 1, "python -m tfds_rvf10k.build --manual_dir"),
        (["--weights=/no/such.weights.h5"], 1, "/no/such.weights.h5: no such file"),
        (["--workdir=/dev/null/run"], 1, "--workdir=/dev/null/run: cannot write there"),
        (["--folds=7", "--dataset=DIRECTORY"], 2, "--folds=7"),
        (["--also_evaluate=/no/such,/other"], 1, "test set /no/such: no such directory; give one"),
        (["--also_evaluate=/no/such,/other"], 1, "; test set /other: no such directory; give one"),
        (["--also_evaluate=/x", "--fold=job"], 2, "--also_evaluate: --fold=job is one fold of sev"),
    ],
)
def test_errors_are_one_clear_line(flags, status, message, data_dir, dataset, tmp_path):
    directory = dataset.train[0].path.rpartition("/")[0]
    flags = [flag.replace("DIRECTORY", directory) for flag in flags]
    answer = run_command(
        "train", "--dataset=sample", f"--data_dir={data_dir}", f"--workdir={tmp_path}", *flags
    )
    assert answer.returncode == status
    assert last_line(answer).startswith("error: ")
    assert message in last_line(answer)
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


@pytest.mark.slow
def test_test_sets_are_scored_after_the_folds_are_joined(trained_cnn, dataset, tmp_path):
    """The run is finished: nothing is trained."""
    run = shutil.copytree(trained_cnn.path, tmp_path / "run")
    for image in encoded.from_shards(residency.limit_examples(dataset.valid, 16)):
        path = tmp_path / image.filename  # valid/real/..., valid/fake/...
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.data)
    flags = ["--merge", "--fold=0,3", f"--workdir={run}", f"--also_evaluate={tmp_path}/valid"]
    answer = run_command("train", *flags)
    assert answer.returncode == 0, answer.stderr
    assert "\ntests/valid " in answer.stdout
    assert answer.stdout.splitlines()[-1] == f"report: {run / 'report.html'}"
    scored = json.loads((run / "tests" / "valid" / "metrics.json").read_text())
    assert scored["ensemble"]["n"] == 16
    assert scored["in_training"] == []
    assert "tests/valid" in (run / "report.html").read_text()
