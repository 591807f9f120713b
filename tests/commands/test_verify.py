import pytest
from commands import run_command, run_in_new_process
from small_dataset import records, shard, write


def errors(answer):
    return [line for line in answer.stderr.splitlines() if line.startswith("error: ")]


def test_faults_are_lines_on_stderr_and_status_1(small):
    path = shard(small, 2)
    path.unlink()
    (small / "notes.txt").write_text("mine")
    answer = run_command("verify", f"--dataset={small}")
    assert answer.returncode == 1
    assert errors(answer) == [
        f"error: {small}/notes.txt: an unknown file, which is not in the manifest; remove it",
        f"error: {path}: missing; build the dataset again with --overwrite",
    ]
    assert answer.stdout.splitlines()[-1] == "  2 faults"


def test_an_argument_that_is_no_flag_is_a_usage_error():
    answer = run_in_new_process("verify", "rvf10k")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: unexpected argument 'rvf10k'")


@pytest.mark.slow
def test_a_whole_dataset_is_status_0(small_whole, tmp_path):
    answer = run_command("verify", f"--dataset={small_whole}")
    assert answer.returncode == 0, answer.stderr
    assert errors(answer) == []
    assert answer.stdout.splitlines()[0] == f"rvf10k/small/1.0.0 in {small_whole}"
    old = tmp_path / "rvf10k" / "kfold5" / "1.0.0"  # from before manifests
    old.mkdir(parents=True)
    answer = run_command("verify", f"--data_dir={tmp_path}")
    assert answer.returncode == 1
    (line,) = errors(answer)
    assert f"{old}/manifest.json: missing; a dataset from before manifests" in line


@pytest.mark.slow
def test_training_on_a_shard_cut_at_a_boundary_ends_in_one_line(small, tmp_path):
    path, workdir = shard(small, 3), tmp_path / "run"
    kept = records(path)[:-1]
    write(path, kept)
    answer = run_command(
        "train", f"--dataset={small}", "--folds=3", "--fold=0", "--model=cnn", "--image_size=32",
        f"--workdir={workdir}",
    )  # fmt: skip
    assert answer.returncode == 1
    (line,) = errors(answer)
    assert f"{path}: {len(kept)} records, its metadata says {len(kept) + 1}; build" in line
    assert not list(workdir.rglob("model.keras"))
