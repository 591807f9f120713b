import shutil

import pytest
from commands import run_command, run_in_new_process

from dftk.images import encoded
from dftk.input import residency


@pytest.mark.long
def test_the_command_prints_the_table(trained):
    answer = run_command("evaluate", f"--workdir={trained.path}", "--split=train")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["n", "accuracy", "precision", "recall", "f1", "auc"]
    assert [line.split()[0] for line in lines[1:]] == ["fold", "fold", "mean", "std", "pooled"]


def test_a_folder_without_a_run_is_one_line(tmp_path):
    answer = run_command("evaluate", f"--workdir={tmp_path}")
    assert answer.returncode == 1
    assert answer.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path}: no config.json")


@pytest.mark.slow
def test_a_broken_file_of_a_folder_is_status_1_after_the_rest(trained, tmp_path, dataset):
    run = tmp_path / "run"
    shutil.copytree(trained.path, run)
    for image in encoded.from_shards(residency.limit_examples(dataset.valid, 8)):
        path = tmp_path / image.filename  # valid/real/..., valid/fake/...
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.data)
    (tmp_path / "valid" / "fake" / "bad.jpg").write_bytes(b"")
    shutil.copytree(tmp_path / "valid" / "real", tmp_path / "reals" / "real")
    answer = run_command(
        "evaluate", f"--workdir={run}", f"--dataset={tmp_path}/valid,{tmp_path}/reals",
        "--name=new,reals",
    )  # fmt: skip
    assert answer.returncode == 1, answer.stderr
    lines = answer.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["held-out", "tests/new", "tests/reals"]
    assert lines[-2:] == [f"written: {run}/tests/new", f"written: {run}/tests/reals"]
    assert "error: new/fake/bad.jpg: empty file" in answer.stderr.splitlines()
    assert "note: reals: no fake image: the AUC is undefined" in answer.stderr
    assert (run / "tests" / "new" / "predictions.csv").is_file()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=x", "--split=valid"], "--dataset and --split: give only one of them"),
        (["--robustness", "--split=train"], "--robustness: only works with --split=valid"),
        (["--shortcuts", "--split=valid"], "--shortcuts: tests the training files"),
        (["--shortcuts", "--dataset=x"], "--shortcuts: tests the training files"),
        (["--name=x"], "--name=x: names a --dataset"),
        (["--max_images=9"], "--max_images=9: only works with --robustness or --shortcuts"),
    ],
)
def test_flags_that_contradict_are_usage_errors(flags, message):
    answer = run_in_new_process("evaluate", *flags)
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"error: {message}")
    assert answer.stderr.count("\n") == 1


@pytest.mark.long
def test_the_audits_print_their_tables(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained.path, run)
    answer = run_command("evaluate", f"--workdir={run}", "--robustness", "--max_images=8")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[1].startswith("                        clean")
    answer = run_command("evaluate", f"--workdir={run}", "--shortcuts")
    assert answer.returncode == 0, answer.stderr
    assert "hortcut found" in answer.stdout.splitlines()[-1]
