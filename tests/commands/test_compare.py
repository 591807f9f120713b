import pytest
from commands import run_command


@pytest.mark.long
def test_two_runs_from_the_command_line(trained, trained_cnn, tmp_path):
    answer = run_command("compare", f"--output={tmp_path}", trained_cnn.path, trained.path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[0].split() == ["trained_cnn", "trained"]
    assert answer.stdout.splitlines()[-1] == f"report: {tmp_path / 'comparison.html'}"
    assert (tmp_path / "comparison.html").is_file()


def test_one_workdir_is_a_usage_error(trained):
    answer = run_command("compare", trained.path)
    assert answer.returncode == 2
    assert answer.stderr.strip().splitlines()[-1].startswith("error: give two workdirs or more")
