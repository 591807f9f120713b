import json
import shutil

import pytest

from dftk.evaluation import audits, terminal
from dftk.evaluation.checks import test_set_folders
from dftk.images import encoded
from dftk.input import residency
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UsageError, UserError


@pytest.fixture(scope="module")
def run(untouched_cnn, tmp_path_factory):
    """A copy of the run to write into."""
    path = tmp_path_factory.mktemp("audited") / "run"
    shutil.copytree(untouched_cnn, path)
    return Workdir(path)


@pytest.fixture
def folder(dataset, tmp_path):
    """Images of valid, and one that a model was trained on."""
    images = list(encoded.from_shards(residency.limit_examples(dataset.valid, 16)))
    images.append(next(encoded.from_shards(dataset.train)))
    for image in images:
        path = tmp_path / "own" / image.filename.split("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.data)
    return tmp_path / "own"


def score(run, *paths):
    folders = test_set_folders.open_folders(run.path, list(map(str, paths)))
    return audits.score_test_sets(run, folders, None).results


def test_a_folder_is_scored_and_its_training_images_are_found(run, folder, dataset):
    before = (run.path / "report.html").stat().st_mtime_ns
    (result,) = score(run, folder).values()
    assert [entry["fold"] for entry in result["folds"]] == [0, 3]
    first = next(encoded.from_shards(dataset.train)).filename
    assert result["in_training"] == [{"filename": first.split("/", 1)[1], "training_image": first}]
    same, few = result["notes"]
    assert same.startswith("identical to a training image of this run, byte by byte")
    assert few.startswith("not searched for shortcuts: ")
    assert result["folder"] == str(run.path / "tests" / "own")
    written = json.loads((run.path / "tests" / "own" / "metrics.json").read_text())
    assert written["ensemble"] == result["ensemble"]
    assert written["source"] == str(folder)
    assert (run.path / "report.html").stat().st_mtime_ns > before


@pytest.mark.slow
def test_without_the_dataset_the_missing_comparison_is_on_record(
    run, untouched_cnn, folder, tmp_path
):
    record = run.config()
    record["config"] = {**record["config"], "dataset": "rvf10k", "data_dir": str(tmp_path)}
    moved = Workdir(tmp_path / "moved")
    shutil.copytree(untouched_cnn, moved.path)
    (moved.path / "config.json").write_text(json.dumps(record))
    (result,) = score(moved, folder).values()
    assert result["in_training"] is None
    assert "not built in" in result["not_compared"]
    assert any("not compared with the training images" in note for note in result["notes"])


def test_a_set_that_turns_out_broken_stops_after_those_before_it(run, folder, tmp_path):
    """By its header it was an image."""
    image = next(folder.rglob("*.jpg")).read_bytes()
    (tmp_path / "cut" / "real").mkdir(parents=True)
    (tmp_path / "cut" / "real" / "a.jpg").write_bytes(image[: len(image) // 2])
    (tmp_path / "more" / "real").mkdir(parents=True)
    (tmp_path / "more" / "real" / "a.jpg").write_bytes(image)
    with pytest.raises(UserError, match=r"/cut: none of its 1 images can be read; .* real/a.jpg"):
        score(run, tmp_path / "more", tmp_path / "cut")
    assert not (run.path / "tests" / "cut").exists()
    assert "tests/more" in (run.path / "report.html").read_text()


def test_shortcuts_of_the_training_images_need_no_model(run, tmp_path):
    bare = Workdir(tmp_path)
    (tmp_path / "config.json").write_text((run.path / "config.json").read_text())
    result = audits.find_shortcuts(bare, None, 100)
    assert result["n"] == 100
    assert json.loads((tmp_path / "shortcuts.json").read_text()) == result
    text = terminal.shortcut_table(result)
    assert "the same in all files" in text
    assert text.splitlines()[-1] == result["verdict"]


def test_what_tells_the_classes_of_a_set_apart_is_warned_of(run, dataset, tmp_path):
    for image in encoded.from_shards(residency.limit_examples(dataset.valid, 40)):
        path = tmp_path / "noted" / image.filename.split("/", 1)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        # A class whose files end in a note that no decoder minds.
        path.write_bytes(image.data + b"x" * 5000 * image.label)
    (result,) = score(run, tmp_path / "noted").values()
    assert "file size" in result["shortcuts"]
    assert "by file size (AUC 1.000)" in result["notes"][-1]
    audit = json.loads((run.path / "tests" / "noted" / "shortcuts.json").read_text())
    assert "file size" in audit["found"]
    assert audit["source"] == str(tmp_path / "noted")
    assert "WARNING" in terminal.shortcut_table(audit)


@pytest.mark.slow
def test_robustness_of_some_images_of_valid(run):
    result = audits.sweep_robustness(run, None, 8)
    assert result["clean"]["n"] <= 8
    assert json.loads((run.path / "robustness.json").read_text())["folds"] == [0, 3]
    lines = terminal.robustness_table(result).splitlines()
    assert lines[1].split()[0] == "clean"
    assert len(lines) == 2 + sum(len(p["levels"]) for p in result["perturbations"].values())


def test_fewer_images_than_shards_are_refused(run):
    with pytest.raises(UsageError, match="--max_images=1: must be at least"):
        audits.sweep_robustness(run, None, 1)
