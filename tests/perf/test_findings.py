import json

import pytest
from perf_measurements import HEAD, OWN, measurements
from PIL import Image

from dftk.perf import findings

RUN = {"dataset": "rvf10k", "images": 1000, "device": "1 x GPU", "residency": "ram",
       "reason": "1 GB", "phase": "frozen", "features": "live", "batch_size": 32}  # fmt: skip
PARALLEL = {"fixed": {"map": 2, "prefetch": 2}, "autotune": {"ParallelMapV2 parallelism": 3.0}}


def collected():
    return findings.collect(measurements({**OWN, "transfer": 5e-3}, parallelism=PARALLEL), RUN)


def test_the_table_marks_what_binds_and_gives_percent_of_the_ceiling():
    lines = findings.text(collected()).splitlines()
    (marked,) = [line for line in lines if "<-- bottleneck" in line]
    assert marked.startswith("transfer")
    assert " 50  ceiling" in marked
    assert any(line.startswith("bottleneck: transfer: ") for line in lines)
    assert any("autotune: ParallelMapV2 parallelism 3" in line for line in lines)


def test_json_is_what_the_table_shows(tmp_path, capsys):
    found = collected()
    findings.write_json(str(tmp_path / "d.json"), found)
    again = json.loads((tmp_path / "d.json").read_text())
    assert again == json.loads(json.dumps(found))
    assert findings.text(again) == findings.text(found)
    findings.write_json("-", found)
    assert json.loads(capsys.readouterr().out) == again
    cores = again["machine"]["cores"]
    for stage in again["stages"]:
        assert stage["img_per_s_per_core"] * cores == stage["img_per_s"]


def test_the_picture_is_one(tmp_path):
    findings.plot(tmp_path / "d.png", collected())
    with Image.open(tmp_path / "d.png") as picture:
        assert picture.width > 800


def test_durations_are_readable():
    assert [findings._duration(s) for s in (3.4, 600, 10_000)] == ["3 s", "10 min", "2.8 h"]


def test_kept_features_are_told_from_training_on_them():
    found = measurements(visits=1, head=HEAD, head_visits=80, first_pass_s=0.1)
    collected = findings.collect(found, {**RUN, "features": "cached"})
    assert (collected["features_s"], collected["training_s"]) == (found.steps_s, found.head_s)
    assert found.head_s == pytest.approx(1000 * 80 * 1e-4)
    text = findings.text(collected)
    assert "features of all in 0 s, once for all runs, then 80 visits to every image" in text
    assert "<-- bottleneck" in next(line for line in text.splitlines() if line.startswith("head"))
    there = findings.text({**collected, "features_s": 0.0})
    assert "features exist from an earlier run, then 80 visits" in there


def test_a_busy_machine_is_named():
    found = collected()
    assert "measure again" not in findings.text({**found, "input_wait": 0.5})
    assert "50% longer" in findings.text({**found, "input_wait": 0.0})
