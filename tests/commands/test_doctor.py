"""The command, once, with everything that it writes."""

import json

import pytest
from commands import run_command


@pytest.mark.long
def test_doctor_writes_table_json_picture_and_trace(data_dir, tmp_path):
    answer = run_command(
        "doctor", "--dataset=sample", f"--data_dir={data_dir}", "--image_size=32", "--cache=disk",
        "--max_examples=200", "--phase=frozen", f"--json={tmp_path}/d.json",
        f"--picture={tmp_path}/d.png", f"--profile={tmp_path}/trace",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "bottleneck: step: " in answer.stdout
    assert "--cache=ram" in answer.stdout
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["run"]["residency"] == "disk"
    assert found["run"]["images"] == 200
    assert 0 <= found["input_wait"] < 0.5
    assert found["parallelism"]["autotune"]
    assert (tmp_path / "d.png").stat().st_size > 10_000
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))


@pytest.mark.slow
def test_mistakes_are_one_line(tmp_path):
    answer = run_command("doctor", "--dataset=sample", "--phase=third")
    assert answer.returncode == 2
    answer = run_command("doctor", "--dataset=sample", "--picture=d.txt")
    assert (answer.returncode, "--picture=d.txt: must end in .png" in answer.stderr) == (2, True)
    answer = run_command("doctor", "--dataset=sample", f"--picture={tmp_path}/no/d.png")
    assert answer.returncode == 1
    assert f"error: {tmp_path}/no/d.png: cannot write it" in answer.stderr
