import csv
import json

import pytest
from commands import run_command

from dftk.datasets import sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    import numpy as np

    for index in range(3):
        jpeg = sample.draw_jpeg(np.random.default_rng(index), fake=index == 1)
        (path / f"{index}.jpg").write_bytes(jpeg)
    (path / "1b.jpg").write_bytes(b"\xff\xd8 broken")
    return path


def test_csv_with_a_bad_file_among_good_ones(trained, folder, tmp_path):
    answer = run_command(
        "predict", f"--model={trained.path}", f"--plot={tmp_path}", "--threshold=0", folder
    )
    assert answer.returncode == 1
    rows = list(csv.DictReader(answer.stdout.splitlines()))
    assert [row["filename"] for row in rows] == [str(folder / f"{i}.jpg") for i in range(3)]
    assert {row["label"] for row in rows} == {"fake"}, "fake when probability >= threshold"
    errors = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert answer.stderr.splitlines()[-1].startswith("predict: 4 files, 1 failed, ")
    assert errors == [f"error: {folder / '1b.jpg'}: not a readable JPEG, PNG, GIF or BMP image"]
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_json_of_one_model_and_status_0(trained, folder):
    answer = run_command(
        "predict",
        f"--model={trained.model_path(3)}",
        "--format=json",
        folder / "2.jpg",
        folder / "0.jpg",
    )
    assert answer.returncode == 0, answer.stderr
    rows = json.loads(answer.stdout)
    assert [row["filename"] for row in rows] == [str(folder / "2.jpg"), str(folder / "0.jpg")]
    assert all(set(row) == {"filename", "probability", "label"} for row in rows)
    assert all((row["probability"] >= 0.5) == (row["label"] == "fake") for row in rows)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "--model: give a model.keras file"),
        (["--model=x.keras"], 2, "no image: give files"),
        (["--model=x.keras", "a.jpg"], 1, "x.keras: no such model"),
        (["--model=x.keras", "--threshold=2", "a.jpg"], 2, "threshold"),
    ],
)
def test_errors_are_one_line(arguments, status, message):
    answer = run_command("predict", *arguments)
    assert answer.returncode == status
    assert answer.stdout == ""
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
