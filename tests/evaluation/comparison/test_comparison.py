import json
import shutil

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from dftk.evaluation.comparison import comparison
from dftk.evaluation.stats import paired_tests
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import read_csv


@pytest.fixture(scope="module")
def compared(trained, trained_cnn):
    return comparison.compare([trained_cnn, trained], None, measure_speed=True)


def by_name(path, column="probability"):
    return {row["filename"]: row[column] for row in read_csv(path)}


def test_scores_are_those_of_the_files(compared, trained, trained_cnn):
    content, _ = compared
    assert content["folds"] == [0, 3]
    for side, workdir in zip(content["runs"], (trained_cnn, trained)):
        rows = read_csv(workdir.path / "predictions.csv")
        labels, found = ([row[c] for row in rows] for c in ("label", "probability"))
        assert side["held_out"]["auc"] == pytest.approx(roc_auc_score(labels, found), abs=1e-12)
        valid = json.loads((workdir.path / "valid_metrics.json").read_text())
        assert side["valid"]["auc"] == pytest.approx(valid["ensemble"]["auc"], abs=1e-6)
        decided = valid["at_threshold"]["ensemble"]["accuracy"]
        assert side["valid"]["accuracy_at_chosen"] == pytest.approx(decided)


def test_images_are_paired_by_name(compared, trained, trained_cnn):
    content, _ = compared
    first, second = (by_name(w.path / "valid_predictions.csv") for w in (trained_cnn, trained))
    names = list(first)[::-1]
    labels = np.array(["/fake/" in name for name in names]).astype(int)
    scores = [np.array([run[name] for name in names]) for run in (first, second)]
    (pair,) = content["comparisons"]
    expected = paired_tests.delong(labels, *scores)
    assert pair["valid"]["auc"]["value"] == pytest.approx(expected.value, abs=1e-6)
    assert pair["valid"]["auc"]["p_value"] == pytest.approx(expected.p_value, abs=1e-4)
    right = [accuracy_score(labels, score >= 0.5) for score in scores]
    assert pair["valid"]["accuracy"]["value"] == pytest.approx(right[1] - right[0])


def test_size_cost_and_speed_stand_side_by_side(compared):
    content, _ = compared
    cnn, residual = content["runs"]
    assert (cnn["model"], residual["model"]) == ("cnn", "residual")
    for run in content["runs"]:
        model = keras.saving.load_model(Workdir(run["workdir"]).model_path(0))
        assert run["parameters"] == model.count_params() > 2e5
        assert run["inference_images_per_s"] > 0
    assert (cnn["epochs"], residual["epochs"]) == (2, 4)
    assert all(run["training_minutes"] > 0 for run in content["runs"])


@pytest.mark.long
def test_folds_that_one_lacks_are_left_out_and_named(trained, trained_cnn, tmp_path):
    shutil.copytree(trained.path, tmp_path / "one", ignore=shutil.ignore_patterns("fold_3"))
    content, _ = comparison.compare([trained_cnn, Workdir(tmp_path / "one")], None, False)
    assert content["folds"] == [0]
    assert any("folds [3] are left out" in note for note in content["notes"])
    assert np.isnan(content["runs"][0]["held_out"]["accuracy_at_chosen"])
    assert "accuracy_at_chosen" not in content["comparisons"][0]["held_out"]


def test_p_values_are_adjusted_for_the_number_of_runs(trained, trained_cnn, tmp_path):
    shutil.copytree(trained.path, tmp_path / "again")
    runs = [trained_cnn, trained, Workdir(tmp_path / "again")]
    content, _ = comparison.compare(runs, None, False)
    for pair in content["comparisons"]:
        test = pair["valid"]["auc"]
        assert test["p_value_adjusted"] == pytest.approx(min(1, 2 * test["p_value"]))


def test_runs_on_other_images_are_refused(trained, trained_cnn, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained.path, other)
    file = other / "fold_0" / "predictions.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(UserError, match=r"other: scored other images than .*--max_examples"):
        comparison.compare([trained_cnn, Workdir(other)], None, False)
    record = json.loads((other / "config.json").read_text())
    record["inputs"]["dataset_fingerprint"] = "0"
    (other / "config.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="other: trained on other data or other folds"):
        comparison.compare([trained_cnn, Workdir(other)], None, False)


def test_one_workdir_twice_is_refused(trained):
    with pytest.raises(UsageError, match="given twice"):
        comparison.compare([trained, trained], None, False)
