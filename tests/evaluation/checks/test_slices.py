import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dftk.evaluation.checks import slices
from dftk.images import encoded
from dftk.utils.errors import UserError
from dftk.utils.files import read_csv


def rows(n=300, **columns):
    """Predictions right four times in five."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    right = rng.random(n) < 0.8
    probabilities = np.where(right == (labels == 1), 0.6, 0.4) + 0.1 * rng.random(n)
    measures = {"brightness": rng.random(n), "sharpness": rng.random(n),
                "file size": rng.integers(10, 99, n), "dimensions": ["8x8"] * n}  # fmt: skip
    columns = {**measures, **columns}
    return [
        {"filename": f"{i}", "label": int(labels[i]), "probability": float(probabilities[i]),
         **{name: values[i] for name, values in columns.items()}}
        for i in range(n)
    ]  # fmt: skip


def by(result, name):
    return [entry for entry in result["slices"] if entry["by"] == name]


def test_sharpness_is_the_variance_of_scipys_laplacian():
    luma = np.random.default_rng(0).random((12, 9))
    expected = ndimage.laplace(luma)[1:-1, 1:-1].var()
    assert slices.sharpness(luma) == pytest.approx(expected)
    assert slices.sharpness(luma[:2]) == 0


def test_measures_of_an_image():
    pixels = np.zeros((10, 20, 3), np.uint8) + np.array([100, 0, 0], np.uint8)
    found = slices.measures(encoded.Decoded(encoded.Encoded("x", 0, -1, b"12345"), pixels))
    assert found["brightness"] == pytest.approx(29.9, abs=1e-3)
    assert found["sharpness"] == pytest.approx(0, abs=1e-6)
    assert (found["file size"], found["dimensions"]) == (5, "20x10")


def test_terciles_are_thirds_and_cover_all():
    result = slices.score_slices(rows(), 0.5)
    for name in ("brightness", "sharpness", "file size"):
        entries = by(result, name)
        assert sum(entry["n"] for entry in entries) == 300
        assert all(85 <= entry["n"] <= 115 for entry in entries)
    assert not by(result, "dimensions"), "all are of one size"
    assert not by(result, "fold"), "there is none"


def test_a_slice_that_is_worse_is_flagged_and_only_that():
    bad = rows(brightness=np.arange(300))
    for row in bad[:100]:  # the darkest third
        row["probability"] = 0.5 + 0.01 * (row["filename"] > "3")
    result = slices.score_slices(bad, 0.5)
    flagged = [(entry["by"], entry["slice"][:3]) for entry in result["slices"] if entry["below"]]
    assert flagged == [("brightness", "low")]
    assert by(result, "brightness")[0]["below"] == ["accuracy", "auc"]


def unlike_classes(n=600):
    """Right on nine reals in ten and on six fakes in ten, whatever the slice."""
    labels = np.arange(n) % 2
    wrong = np.arange(n) // 2 % 10 >= np.where(labels == 1, 6, 9)
    folders = [("fake/" if label else "real/") + str(i // 20 % 2) for i, label in enumerate(labels)]
    found = rows(n, folder=folders, brightness=labels + 0.9 * (np.arange(n) % 7) / 7)
    for row, label, miss in zip(found, labels, wrong):
        row["probability"] = 0.8 if (label == 1) != miss else 0.2
    return found


def test_the_class_mix_of_a_slice_flags_nothing():
    """Folders of one class each, and terciles by a measure that tells the classes apart."""
    result = slices.score_slices(unlike_classes(), 0.5)
    assert [entry["slice"] for entry in result["slices"] if entry["below"]] == []
    expected = {entry["slice"]: entry["expected_accuracy"] for entry in by(result, "folder")}
    assert expected == pytest.approx({"real/0": 0.9, "real/1": 0.9, "fake/0": 0.6, "fake/1": 0.6})
    low, middle, high = by(result, "brightness")
    assert low["fakes"] == 0
    assert high["fakes"] == high["n"]
    share = middle["fakes"] / middle["n"]
    assert middle["expected_accuracy"] == pytest.approx(0.9 - 0.3 * share)


def test_a_folder_worse_than_the_others_of_its_class_is_flagged():
    """And the fakes, on which all accuracies are lower, are not."""
    bad = unlike_classes()
    for index, row in enumerate(row for row in bad if row["folder"] == "real/1"):
        row["probability"] = 0.8 if index % 2 else 0.2
    flagged = [
        entry["slice"] for entry in slices.score_slices(bad, 0.5)["slices"] if entry["below"]
    ]
    assert flagged == ["real/1"]


def test_a_set_of_one_class_is_compared_with_itself():
    fakes = [row for row in unlike_classes() if row["label"]]
    result = slices.score_slices(fakes, 0.5)
    for entry in by(result, "folder") + by(result, "brightness"):
        assert entry["expected_accuracy"] == pytest.approx(0.6)
        assert entry["below"] == []


def test_predictions_alike_everywhere_are_seldom_flagged():
    rng = np.random.default_rng(5)
    flags = 0
    for _ in range(20):
        columns = {name: rng.random(300) for name in ("brightness", "sharpness", "file size")}
        result = slices.score_slices(rows(**columns, fold=rng.integers(0, 5, 300)), 0.5)
        flags += any(entry["below"] for entry in result["slices"])
    assert flags <= 3


def test_frequent_categories_are_slices_and_the_rest_is_one():
    fold, folder = np.arange(300) % 5, [f"fake/{i % 15}" for i in range(300)]
    result = slices.score_slices(rows(fold=fold, folder=folder), 0.5)
    assert [entry["slice"] for entry in by(result, "fold")] == ["0", "1", "2", "3", "4"]
    folders = by(result, "folder")
    assert folders[-1]["slice"] == "3 others"
    assert sum(entry["n"] for entry in folders) == 300


def test_equal_values_are_no_terciles():
    assert not by(slices.score_slices(rows(brightness=[7.0] * 300), 0.5), "brightness")


def test_a_single_image_is_no_crash():
    assert slices.score_slices(rows(1), 0.5)["slices"] == []


def test_a_file_that_changed_since_it_was_scored_is_named(tmp_path):
    prediction = {"filename": "real/x.jpg", "label": 0, "probability": 0.5}
    gone = encoded.Encoded("real/x.jpg", 0, -1, b"", "No such file or directory")
    with pytest.raises(
        UserError, match=r"real/x.jpg: the file changed since it was scored \(No such"
    ):
        slices.write(tmp_path, "", [prediction], [gone])


def test_a_workdir_gets_slices_errors_and_the_sheet(dataset, tmp_path):
    images = list(encoded.from_shards(dataset.valid))
    rng = np.random.default_rng(0)
    predictions = [{"filename": i.filename, "label": i.label, "probability": float(p)}
                   for i, p in zip(images, rng.random(len(images)))]  # fmt: skip
    result = slices.write(tmp_path, "valid_", predictions[:-1], images)
    written = json.loads((tmp_path / "valid_slices.json").read_text())
    assert written["overall"]["n"] == result["overall"]["n"] == 99
    assert written["slices"] == result["slices"]
    ordered = read_csv(tmp_path / "valid_errors.csv")
    assert {row["filename"] for row in ordered} == {row["filename"] for row in predictions[:-1]}
    wrong = [row["wrong_by"] for row in ordered]
    assert wrong == sorted(wrong, reverse=True)
    top = ordered[0]
    assert top["wrong_by"] == pytest.approx(abs(top["probability"] - top["label"]))
    assert Image.open(tmp_path / "plots" / "valid_most_wrong.png").width > 700
