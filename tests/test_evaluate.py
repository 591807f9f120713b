from test_cli import door


def test_the_door_prints_the_table(trained):
    answer = door("evaluate", f"--workdir={trained.path}", "--split=train")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["n", "accuracy", "precision", "recall", "f1", "auc"]
    assert [line.split()[0] for line in lines[1:]] == ["fold", "fold", "mean", "std", "pooled"]


def test_a_folder_without_a_run_is_one_line(tmp_path):
    answer = door("evaluate", f"--workdir={tmp_path}")
    assert answer.returncode == 1
    assert answer.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path}: no config.json")
