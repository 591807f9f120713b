import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from dftk.datasets import sample
from dftk.inference import stream, verdicts
from dftk.utils.errors import UserError


@pytest.fixture(scope="module")
def models(small_ensemble, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{name}.keras" for name in ("one", "two")]
    for path, model in zip(paths, small_ensemble.members):
        model.save(path)
    return paths


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    for index in range(3):
        jpeg = sample.draw_jpeg(np.random.default_rng(index), fake=index == 1)
        (path / f"{index}.jpg").write_bytes(jpeg)
    (path / "1b.jpg").write_bytes(b"\xff\xd8 broken")
    return path


def options(models, folder, **more):
    return verdicts.PredictOptions(
        models=list(map(str, models)), paths=[folder], **{"threshold": "0.5", **more}
    )


def test_rows_with_the_members_and_their_mean(models, folder, tmp_path, capsys):
    chosen = options(models, folder, members=True, output=tmp_path / "rows.csv")
    assert verdicts.predict(chosen) == 1
    said = capsys.readouterr()
    assert said.out == ""
    threshold, error, last = said.err.splitlines()
    assert threshold == "fake from a probability of 0.5 on (given)"
    assert error == f"error: {folder / '1b.jpg'}: not a readable JPEG, PNG, GIF or BMP image"
    assert last.startswith("predict: 4 files, 1 failed, ")
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert list(rows[0]) == ["filename", "probability", "label", "one", "two"]
    assert [row["filename"] for row in rows] == [str(folder / f"{i}.jpg") for i in range(3)]
    for row in rows:
        probability, one, two = (float(row[name]) for name in ("probability", "one", "two"))
        assert probability == pytest.approx((one + two) / 2, abs=1e-7)
        assert one != two
        assert row["label"] == ("fake" if probability >= 0.5 else "real")


def test_a_file_deleted_before_its_picture_is_that_files_error(
    models, folder, tmp_path, capsys, monkeypatch
):
    real = stream.score_files

    def scored_then_gone(*args):
        for score in real(*args):
            if score.path.name == "1.jpg":
                score.path.unlink()
            yield score

    monkeypatch.setattr(stream, "score_files", scored_then_gone)
    chosen = options(models, folder, output=tmp_path / "rows.csv", plot=tmp_path / "plots")
    assert verdicts.predict(chosen) == 2
    said = capsys.readouterr().err
    assert f"error: {folder / '1.jpg'}: scored, but not readable again for its picture: No" in said
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert [Path(row["filename"]).name for row in rows] == ["0.jpg", "2.jpg"]


def test_both_formats_on_stdout_say_the_same(models, folder, capsys):
    verdicts.predict(options(models[:1], folder))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    verdicts.predict(options(models[:1], folder, format="json"))
    objects = json.loads(capsys.readouterr().out)
    assert [{k: str(v) for k, v in row.items()} for row in objects] == rows
    assert len(rows) == 3


def test_fake_is_from_the_threshold_on(models, folder, capsys):
    def labels(threshold):
        verdicts.predict(options(models, folder, threshold=repr(threshold), format="json"))
        return json.loads(capsys.readouterr().out)

    rows = labels(0.0)
    assert {row["label"] for row in rows} == {"fake"}
    middle = sorted(row["probability"] for row in rows)[1]
    again = [row["label"] == "fake" for row in labels(middle)]
    assert again == [row["probability"] >= middle for row in rows]
    assert sum(again) == 2, "the one at the threshold is fake"


def test_an_output_that_is_not_finished_leaves_the_former_one(models, folder, tmp_path):
    output = tmp_path / "rows.csv"
    output.write_text("former")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--explain="):
        verdicts.predict(options(models, folder, output=output, explain=tmp_path / "file"))
    assert output.read_text() == "former"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "images", "rows.csv"]
    with pytest.raises(UserError, match="--output=.*nowhere"):
        verdicts.predict(options(models, folder, output=tmp_path / "nowhere" / "rows.csv"))


def test_a_reader_that_goes_away_is_one_line(models, folder, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(UserError, match="stdout: its reader has gone"):
            verdicts.predict(options(models, folder))


def test_a_name_that_is_no_utf8_stays_its_bytes(models, folder, tmp_path):
    name = os.fsencode(folder) + b"/\xff.jpg"
    Path(os.fsdecode(name)).write_bytes((folder / "0.jpg").read_bytes())
    verdicts.predict(options(models, folder, output=tmp_path / "rows.csv"))
    assert name in (tmp_path / "rows.csv").read_bytes()


def test_a_picture_for_every_row(models, folder, tmp_path):
    chosen = options(
        models, folder, plot=tmp_path / "p", explain=tmp_path / "e", output=tmp_path / "rows.csv"
    )
    verdicts.predict(chosen)
    assert len(list((tmp_path / "p").iterdir())) == len(list((tmp_path / "e").iterdir())) == 3


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(models, folder, tmp_path):
    """Peak memory of processes that score 300 and 6,000 names of three images."""
    import subprocess

    for count in (300, 6000):
        tree = tmp_path / str(count)
        for index in range(count):
            link = tree / f"{index // 100:03}" / f"{index}.jpg"
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / f"{index % 3}.jpg", link)
    code = (
        "import resource, sys; from pathlib import Path; from dftk.inference import verdicts\n"
        "verdicts.predict(verdicts.PredictOptions(models=[sys.argv[1]], paths=[Path(sys.argv[2])],"
        " threshold='0.5', output=Path(sys.argv[3])))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (300, 6000):
        output = tmp_path / f"{count}.csv"
        command = [sys.executable, "-c", code, models[0], tmp_path / str(count), output]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        assert len(output.read_text().splitlines()) == count + 1
        peaks.append(int(answer.stdout))
    assert peaks[1] < peaks[0] + 60_000, "kB"
