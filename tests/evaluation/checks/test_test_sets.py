import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dftk.datasets import sample
from dftk.evaluation.checks import shortcuts, test_sets
from dftk.evaluation.stats import ensemble_metrics
from dftk.images import encoded
from dftk.inference import stream
from dftk.runs import saved_models
from dftk.runs.results import SHORTCUTS
from dftk.utils.files import TEMPORARY, columns, read_csv


@pytest.fixture(scope="module")
def ensemble(trained):
    return saved_models.load_ensemble(saved_models.model_paths(trained.path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six of each class in two sizes, the fakes of two generators, and one broken file."""
    root = tmp_path_factory.mktemp("sets") / "new"
    for index in range(12):
        fake = index % 2 == 1
        below = f"fake/gan{index % 4}" if fake else "real"
        (root / below).mkdir(parents=True, exist_ok=True)
        jpeg = sample.draw_jpeg(np.random.default_rng(index), fake=fake)
        (root / below / f"{index}.jpg").write_bytes(jpeg)
    Image.open(root / "real" / "0.jpg").resize((90, 50)).save(root / "real" / "0.png")
    (root / "real" / "broken.jpg").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def scored(ensemble, folder):
    return test_sets.score(ensemble, [0, 3], encoded.find(folder))


def full(rows, broken, **more):
    labels, mean = columns(rows, "label", "probability")
    summary = ensemble_metrics.summarize(
        folds=[0, 3],
        labels=labels,
        members=test_sets.member_probabilities(rows, [0, 3]),
        mean=mean,
        threshold={"value": 0.5},
    )
    result = {"source": "x", **summary, "broken": broken,
              "ignored": {}, "in_training": [], "not_compared": "", "shortcuts": {},
              **more}  # fmt: skip
    return {**result, "notes": test_sets.notes(result)}


def test_each_image_is_scored_as_predict_scores_it(ensemble, folder, scored):
    rows, broken = scored
    assert broken == [
        {"filename": "real/broken.jpg", "error": "not a readable JPEG, PNG, GIF or BMP image"}
    ]
    assert len(rows) == 13
    for score in stream.score_files(ensemble, [folder / row["filename"] for row in rows]):
        (row,) = [r for r in rows if folder / r["filename"] == score.path]
        assert row["probability"] == pytest.approx(score.probability, abs=1e-5)
        assert row["probability"] == pytest.approx((row["fold_0"] + row["fold_3"]) / 2, abs=1e-6)
        assert row["label"] == int(row["filename"].startswith("fake/"))


def test_a_test_set_is_written_whole_and_replaces_the_former(tmp_path, folder, scored):
    rows, broken = scored
    result = full(rows, broken)
    found = encoded.find(folder)
    for _ in range(2):
        written = test_sets.write(tmp_path, "new", found, rows, result, None)
        assert written == tmp_path / "tests" / "new"
        (written / "left_over.txt").write_text("of a former run")
        assert sorted(p.name for p in written.parent.iterdir()) == ["new"]
        assert json.loads((written / "metrics.json").read_text())["ensemble"]["n"] == 13
    test_sets.write(tmp_path, "new", found, rows[:9], full(rows[:9], []), None)
    assert sorted(path.relative_to(written).as_posix() for path in written.rglob("*.*")) == [
        "errors.csv", "metrics.json", "plots/confusion_matrix.png", "plots/most_wrong.png",
        "plots/roc.png", "predictions.csv", "slices.json",
    ]  # fmt: skip
    again = read_csv(written / "predictions.csv")
    assert list(again[0]) == ["filename", "label", "probability", "fold_0", "fold_3"]
    assert [row["filename"] for row in again] == [row["filename"] for row in rows[:9]]


def test_an_audit_for_shortcuts_lies_beside_the_scores(tmp_path, folder, scored):
    rows, broken = scored
    found = encoded.find(folder)
    audit = {"groups": {"contrast": {"constant": True}}, "found": []}
    target = test_sets.write(tmp_path, "new", found, rows, full(rows, broken), audit)
    assert json.loads((target / SHORTCUTS).read_text()) == audit
    assert (target / shortcuts.PICTURE).is_file()
    test_sets.write(tmp_path, "new", found, rows, full(rows, broken), None)
    assert not (target / SHORTCUTS).exists()


def test_folders_below_the_classes_are_slices(tmp_path, folder, scored):
    rows, broken = scored
    written = test_sets.write(tmp_path, "new", encoded.find(folder), rows, full(rows, broken), None)
    slices = json.loads((written / "slices.json").read_text())["slices"]
    counts = {entry["slice"]: entry["n"] for entry in slices if entry["by"] == "folder"}
    assert counts == {"fake/gan1": 3, "fake/gan3": 3, "real": 7}
    sizes = {entry["slice"]: entry["n"] for entry in slices if entry["by"] == "dimensions"}
    assert sizes == {"64x64": 12, "90x50": 1}


def test_a_failure_leaves_the_former_one_as_it_was(tmp_path, folder, scored):
    rows, broken = scored
    found = encoded.find(folder)
    written = test_sets.write(tmp_path, "new", found, rows, full(rows, broken), None)
    before = {path: path.read_bytes() for path in written.rglob("*.*")}
    with pytest.raises(KeyError):
        test_sets.write(tmp_path, "new", found, [{"filename": "x"}], full(rows, broken), None)
    assert {path: path.read_bytes() for path in written.rglob("*.*")} == before
    assert not list(written.parent.glob(f"{TEMPORARY}*"))


def test_one_class_only_is_scored_and_said(ensemble, folder, tmp_path):
    shutil.copytree(folder / "fake", tmp_path / "fakes" / "fake")
    found = encoded.find(tmp_path / "fakes")
    rows, broken = test_sets.score(ensemble, [0, 3], found)
    result = full(rows, broken)
    assert np.isnan(result["ensemble"]["auc"])
    assert result["notes"] == [
        "no real image: the AUC is undefined, and the accuracy is that of one class only"
    ]
    written = test_sets.write(tmp_path, "fakes", found, rows, result, None)
    assert not (written / "plots" / "roc.png").exists()
    assert json.loads((written / "metrics.json").read_text())["ensemble"]["auc"] is None


def test_notes_say_what_a_reader_must_know(scored):
    rows, broken = scored
    same = [{"filename": "real/0.jpg", "training_image": "train/real/1.jpg"}]
    text = "; ".join(full(rows, broken, ignored={".webp": 3}, in_training=same)["notes"])
    assert "not scored, since unreadable: 1 file" in text
    assert "3 .webp" in text
    assert "training image of this run, byte by byte: 1 image;" in text
    lost = full(rows, [], in_training=None, not_compared="no dataset")["notes"]
    assert lost == ["not compared with the training images: no dataset"]
    few = full(rows, [], shortcuts=None, not_searched="too few")["notes"]
    assert few == ["not searched for shortcuts: too few"]
    (told,) = full(rows, [], shortcuts={"file size": 0.9, "metadata": 1.0})["notes"]
    assert "told apart without the face, by file size (AUC 0.900), metadata (AUC 1.000)" in told


def test_training_images_are_known_by_their_bytes(dataset):
    known = test_sets.training_digests(dataset.train)
    images = list(encoded.from_shards(dataset.train))
    assert len(known) == len({image.data for image in images})
    assert known[test_sets.digest(images[7].data)] == images[7].filename
    valid = next(encoded.from_shards(dataset.valid))
    assert test_sets.digest(valid.data) not in known
