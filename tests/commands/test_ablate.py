"""python -m dftk.ablate: what it refuses, and a table of runs of the sample."""

import json

import pytest
from commands import run_command

QUICK = ["--dataset=sample", "--model=cnn", "--image_size=32", "--finetune_epochs=1",
         "--max_examples=200"]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "give one change or more"),
        (["crop_size"], "crop_size: give NAME=VALUE"),
        (["workdir=x"], "workdir=x: give NAME=VALUE of a flag that decides"),
        (["l2=much"], "l2=much: could not convert string to float"),
        (["decay=linear"], "decay=linear: value should be one of <plateau|cosine>"),
        (["l2=0.1", "l2=0.1"], "l2=0.1: given twice"),
        (["seed=42"], "seed=42: the same run as base"),
        (["l2=0.1", "l2=0.10"], "l2=0.10: the same run as l2=0.1"),
        (
            ["max_examples=9"],
            "max_examples=9: all runs hold out the same images; give --max_examples, for",
        ),
        (["crop_size=500"], "--crop_size=500: must be at most --image_size"),
    ],
)
def test_changes_that_cannot_be(changes, message):
    found = run_command("ablate", *changes)
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1].startswith(f"error: {message}")


@pytest.mark.slow
def test_runs_of_one_change_each_and_a_table_of_what_it_changed(data_dir, tmp_path):
    arguments = [
        *QUICK, f"--data_dir={data_dir}", f"--workdir={tmp_path}", "--fold=1",
        "augment=true,dropout=0.5",
    ]  # fmt: skip
    found = run_command("ablate", *arguments)
    assert found.returncode == 0, found.stderr
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert [run["name"] for run in content["runs"]] == [
        "base", "augment=true,dropout=0.5",
    ]  # fmt: skip
    assert content["folds"] == [1]
    assert not list(tmp_path.glob("*/valid_predictions.csv")), "valid has no say"
    rows = (tmp_path / "ablation.md").read_text().splitlines()
    assert rows == found.stdout.splitlines()[: len(rows)]
    base, other = [row.split(" | ") for row in rows[2:4]]
    assert base[0] == "| base"
    assert base[2:4] == ["", ""]
    assert other[0] == "| `augment=true,dropout=0.5`"
    assert other[4] == f"{content['runs'][1]['held_out']['auc']:.4f}" != base[4]
    config = json.loads((tmp_path / "augment=true,dropout=0.5" / "config.json").read_text())
    assert (config["config"]["augment"], config["config"]["dropout"]) == (True, 0.5)

    # The others are there; this one diverges.
    again = run_command("ablate", *arguments, "finetune_lr=1e30")
    assert again.returncode == 1
    assert (tmp_path / "ablation.md").read_text().splitlines()[:4] == rows[:4]
    assert "error: finetune_lr=1e30: exit status" in again.stderr.splitlines()[-1]
