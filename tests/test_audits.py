import json
import shutil

import pytest

from dftk.config import UsageError, UserError
from dftk.data import residency
from dftk.evaluation import audits, encoded
from dftk.evaluation.workdir import Workdir


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of the run to write into."""
    path = tmp_path_factory.mktemp("audited") / "run"
    shutil.copytree(trained.path, path)
    return Workdir(path)


@pytest.fixture
def folder(dataset, tmp_path):
    """Images of valid, and one that a model was trained on."""
    images = list(encoded.from_shards(residency.limit(dataset.valid, 16)))
    images.append(next(encoded.from_shards(dataset.train)))
    for image in images:
        path = tmp_path / "own" / image.filename.split("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.data)
    return tmp_path / "own"


def test_a_folder_is_scored_and_its_training_images_are_found(run, folder, dataset):
    before = (run.path / "report.html").stat().st_mtime_ns
    result = audits.score_folder(run, folder, None, None)
    assert [entry["fold"] for entry in result["folds"]] == [0, 3]
    first = next(encoded.from_shards(dataset.train)).filename
    assert result["in_training"] == [{"filename": first.split("/", 1)[1], "training_image": first}]
    assert result["notes"][-1].startswith("byte by byte the same")
    written = json.loads((run.path / "tests" / "own" / "metrics.json").read_text())
    assert written["ensemble"] == result["ensemble"]
    assert written["source"] == str(folder)
    assert (run.path / "report.html").stat().st_mtime_ns > before


@pytest.mark.slow
def test_without_the_dataset_the_missing_comparison_is_on_record(run, folder, tmp_path):
    record = run.config()
    record["config"] = {**record["config"], "dataset": "rvf10k", "data_dir": str(tmp_path)}
    moved = Workdir(tmp_path / "moved")
    shutil.copytree(run.path, moved.path)
    (moved.path / "config.json").write_text(json.dumps(record))
    result = audits.score_folder(moved, folder, "mine", None)
    assert result["in_training"] is None
    assert "not built in" in result["not_compared"]
    assert any("not compared with the training images" in note for note in result["notes"])


def test_a_folder_of_broken_files_only_is_one_line(run, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of its 1 images can be read; the first, real/a.jpg"):
        audits.score_folder(run, tmp_path, None, None)
    assert not (run.path / "tests" / tmp_path.name).exists()


def test_shortcuts_of_the_training_images_need_no_model(run, tmp_path):
    bare = Workdir(tmp_path)
    (tmp_path / "config.json").write_text((run.path / "config.json").read_text())
    result = audits.find_shortcuts(bare, None, None, None, 100)
    assert result["n"] == 100
    assert json.loads((tmp_path / "shortcuts.json").read_text()) == result
    text = audits.shortcut_lines(result)
    assert "the same in all files" in text
    assert text.splitlines()[-1] == result["verdict"]


def test_shortcuts_of_a_folder_go_beside_its_scores(run, dataset, tmp_path):
    for image in encoded.from_shards(residency.limit(dataset.valid, 40)):
        path = tmp_path / "set" / image.filename.split("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        # A class whose files end in a note that no decoder minds.
        path.write_bytes(image.data + b"x" * 5000 * image.label)
    result = audits.find_shortcuts(run, tmp_path / "set", "noted", None, None)
    assert "file size" in result["found"]
    assert (run.path / "tests" / "noted" / "shortcuts.json").is_file()
    assert "WARNING" in audits.shortcut_lines(result)


def noted(root, dataset, count):
    """A set of real and fake images of valid."""
    for image in encoded.from_shards(residency.limit(dataset.valid, count)):
        path = root / image.filename.split("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.data)
    return root


def test_sets_of_one_name_from_two_folders_do_not_mix(run, dataset, tmp_path):
    a, b = (noted(tmp_path / parent / "twin", dataset, 40) for parent in "ab")
    audits.find_shortcuts(run, a, None, None, None)
    written = run.path / "tests" / "twin" / "shortcuts.json"
    before = written.read_text()
    assert json.loads(before)["source"] == str(a)
    for call in (audits.score_folder, audits.find_shortcuts):
        more = (None,) * (3 if call is audits.find_shortcuts else 2)
        with pytest.raises(UsageError, match=f"--name=twin: .* is of {a}, not of {b}; give --name"):
            call(run, b, *more)
    assert written.read_text() == before


@pytest.mark.slow
def test_robustness_of_some_images_of_valid(run):
    result = audits.sweep_robustness(run, None, 8)
    assert result["clean"]["n"] <= 8
    assert json.loads((run.path / "robustness.json").read_text())["folds"] == [0, 3]
    lines = audits.robustness_lines(result).splitlines()
    assert lines[1].split()[0] == "clean"
    assert len(lines) == 2 + sum(len(p["levels"]) for p in result["perturbations"].values())


def test_fewer_images_than_shards_are_refused(run):
    with pytest.raises(UsageError, match="--max_images=1: must be at least"):
        audits.sweep_robustness(run, None, 1)
