import json
import shutil

import numpy as np
import pytest
import report_pages

from dftk.evaluation import terminal
from dftk.evaluation.checks import generalisation, shortcuts
from dftk.evaluation.pages import report
from dftk.evaluation.stats import closed_form, metrics
from dftk.runs.members import member_digests
from dftk.runs.results import SHORTCUTS, TEST_SETS, VALID_METRICS
from dftk.runs.workdir import Workdir
from dftk.utils.files import write_csv, write_json


@pytest.fixture
def workdir(untouched_cnn, tmp_path):
    return Workdir(shutil.copytree(untouched_cnn, tmp_path / "run"))


def compare(workdir):
    return generalisation.compare(report_pages.read_results(workdir))


def predictions(path, gap, reals=60, fakes=60):
    """Of a detector that puts fakes so much higher than reals."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [reals, fakes])
    probabilities = 1 / (1 + np.exp(-rng.normal(gap * labels)))
    rows = [
        {"filename": f"{index}.jpg", "label": int(label), "probability": float(probability)}
        for index, (label, probability) in enumerate(zip(labels, probabilities))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, ["filename", "label", "probability"], rows)
    return labels, probabilities


def a_test_set(workdir, name, gap, reals=60, fakes=60, **more):
    folder = workdir.path / TEST_SETS / name
    labels, probabilities = predictions(folder / "predictions.csv", gap, reals, fakes)
    result = {
        "source": f"/{name}", "members": member_digests(workdir), "folds": [], "broken": [],
        "ensemble": metrics.binary_metrics(labels, probabilities), "in_training": [],
        "shortcuts": {}, "notes": [], **more,
    }  # fmt: skip
    write_json(folder / "metrics.json", result)
    return labels, probabilities


def score_valid(workdir, gap):
    predictions(workdir.path / "valid_predictions.csv", gap)
    write_json(workdir.path / VALID_METRICS, {"members": member_digests(workdir)})


def test_own_sets_come_first_and_a_test_set_called_valid_is_another(workdir):
    a_test_set(workdir, "valid", 1)
    found = compare(workdir)
    assert [one.name for one in found.sets] == ["held-out folds", "tests/valid"]
    assert found.reference is found.dataset_sets[0]
    score_valid(workdir, 3)
    found = compare(workdir)
    assert [one.name for one in found.sets] == ["held-out folds", "valid", "tests/valid"]
    assert found.reference is found.dataset_sets[1]


def test_scores_are_at_the_threshold_of_the_folds_and_at_the_own_best(workdir):
    labels, probabilities = a_test_set(workdir, "new", 1)
    found = compare(workdir)
    summary = json.loads((workdir.path / "metrics.json").read_text())
    (one,) = found.test_sets
    assert found.threshold == summary["threshold"]["value"]
    called = probabilities >= found.threshold
    assert one.scores["accuracy"] == np.mean(called == labels)
    assert one.scores["auc_interval"] == list(closed_form.auc_interval(one.scores["auc"], 60, 60))
    assert one.average_precision == pytest.approx(
        metrics.ranking_metrics(labels, probabilities)["average_precision"], abs=1e-6
    )
    accuracies = [np.mean((probabilities >= t) == labels) for t in [*probabilities, np.inf]]
    assert one.best_accuracy == pytest.approx(max(accuracies))
    assert one.best_accuracy >= one.scores["accuracy"]
    # Each held-out fold is decided by the others' threshold, as in metrics.json.
    pooled = summary["at_threshold"]["pooled"]["accuracy"]
    assert found.dataset_sets[0].scores["accuracy"] == pooled


def test_a_drop_is_one_that_chance_does_not_explain(workdir):
    score_valid(workdir, 2)
    a_test_set(workdir, "worse", 0)
    a_test_set(workdir, "alike", 2)
    found = compare(workdir)
    alike, worse = (one.auc_change(found.reference) for one in found.test_sets)
    assert alike[0] == 0
    assert alike[1][0] < 0 < alike[1][1]
    assert worse[0] < worse[1][1] < 0
    assert [found.shows_drop(one) for one in found.test_sets] == [False, True]


def test_what_to_mind_is_said_in_few_words(workdir):
    a_test_set(workdir, "new", 1, reals=0, broken=[{}], in_training=[{}] * 1200,
               shortcuts={"file size": 0.9, "metadata": 0.7})  # fmt: skip
    (one,) = compare(workdir).test_sets
    assert one.warnings == [
        "no real image", "training images: 1,200", "unreadable: 1", "shortcut: file size",
        "shortcut: metadata",
    ]  # fmt: skip
    a_test_set(workdir, "new", 1, in_training=None)
    assert compare(workdir).test_sets[0].warnings == ["not compared with training images"]
    write_json(workdir.path / SHORTCUTS, {
        "found": ["contrast", shortcuts.ALL],
        "groups": {"contrast": {"linear": {"auc": 0.6}, "trees": {"auc": 0.7}}},
    })  # fmt: skip
    assert compare(workdir).dataset_sets[0].warnings == ["shortcut: contrast"]


def test_one_class_has_an_accuracy_and_no_more(workdir):
    _, probabilities = a_test_set(workdir, "fakes", 1, reals=0)
    a_test_set(workdir, "both", 1)
    found = compare(workdir)
    one = found.test_sets[1]
    assert one.scores["accuracy"] == np.mean(probabilities >= found.threshold)
    for value in (one.scores["auc"], one.average_precision, one.best_accuracy):
        assert np.isnan(value)
    assert np.isnan(one.auc_change(found.reference)[0])
    line = terminal.test_set_table(found).splitlines()[3]
    assert line.split()[:4] == ["tests/fakes", "60", "–", "[–,"]
    assert line.endswith("no real image")
    generalisation.draw(workdir.path, found)
    assert (workdir.path / generalisation.PICTURE).is_file()


def test_without_a_threshold_there_is_no_accuracy_at_one(workdir):
    a_test_set(workdir, "new", 1)
    file = workdir.path / "metrics.json"
    summary = json.loads(file.read_text())
    summary |= {"threshold": {"value": None}, "at_threshold": {}}
    file.write_text(json.dumps(summary))
    found = compare(workdir)
    assert all(np.isnan(one.scores["accuracy"]) for one in found.sets)
    assert "accuracy: at –" in terminal.test_set_table(found)


def test_what_other_models_scored_is_not_compared(workdir):
    a_test_set(workdir, "new", 1, members={"0": "of another run"})
    assert not compare(workdir).test_sets
    report.write(workdir)
    assert not (workdir.path / generalisation.PICTURE).exists()
    page = (workdir.path / "report.html").read_text()
    assert "<summary>new: /new</summary>\n<p>Not done yet" in page


def test_the_report_shows_all_sets_in_one_table(workdir):
    score_valid(workdir, 2)
    a_test_set(workdir, "<b>worse", 0, in_training=[{}])
    text = report_pages.section("test_sets", report_pages.read_results(workdir))
    table = text[: text.index("</table>")]
    assert table.count("<tr") == 1 + 3
    assert "tests/&lt;b&gt;worse" in table
    assert " drop</strong>" in table
    assert "training images: 1<" in table
    assert "chosen on the images that it is measured on" in text
