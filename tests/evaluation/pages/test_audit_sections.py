import shutil

import pytest
import report_pages

from dftk.evaluation.checks import generalisation, robustness, shortcuts, slices, test_sets
from dftk.evaluation.stats import ensemble_metrics
from dftk.images import encoded
from dftk.input import residency
from dftk.runs.members import member_digests
from dftk.runs.results import ROBUSTNESS, SLICES, VALID_METRICS
from dftk.runs.workdir import Workdir
from dftk.utils.files import columns, write_json

NAME = "<b>mine & yours"


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "my run").mkdir()
    return Workdir(tmp_path / "my run")


def images_and_rows(dataset):
    images = list(encoded.from_shards(residency.limit_examples(dataset.valid, 40)))
    rows = [
        {"filename": image.filename, "label": image.label, "probability": 0.3 + 0.01 * index,
         "fold_0": 0.3 + 0.01 * index}
        for index, image in enumerate(images)
    ]  # fmt: skip
    return images, rows


@pytest.mark.parametrize(
    ("section", "flags"),
    [
        ("robustness", "--split=valid --robustness"),
        ("shortcuts", "--shortcuts"),
        ("slices", "--split=valid"),
        ("test_sets", "--dataset=DIR,DIR"),
    ],
)
def test_what_was_not_done_is_a_command(workdir, section, flags):
    text = report_pages.section(section, report_pages.bare_results(workdir.path))
    assert f"--workdir=&#39;{workdir.path}&#39; {flags}</code>" in text
    assert "<img" not in text


def test_shortcuts_are_named(workdir, dataset):
    images, _ = images_and_rows(dataset)
    audit = shortcuts.audit(images, len(images), 5)
    shortcuts.write(workdir.path, audit)
    results = report_pages.bare_results(workdir.path, shortcuts=audit)
    text = report_pages.section("shortcuts", results)
    assert text.count("<img") == 1
    assert "<td>mean colour</td>" in text


def test_slices_of_both_sets_are_shown(workdir, dataset):
    images, rows = images_and_rows(dataset)
    found = {"valid_slices": slices.write(workdir.path, "valid_", rows, images)}
    text = report_pages.section("slices", report_pages.bare_results(workdir.path, **found))
    assert "<h3>valid</h3>" in text
    assert "<h3>held-out folds</h3>" not in text
    found["slices"] = slices.write(workdir.path, "", rows, images)
    text = report_pages.section("slices", report_pages.bare_results(workdir.path, **found))
    assert "<h3>held-out folds</h3>" in text
    assert text.count("<img") == 2
    assert "<td>brightness</td>" in text
    assert "<th>fakes</th><th>expected</th>" in text


def test_slices_of_an_old_version_have_no_expectation(workdir):
    score = {"n": 1200, "fakes": 600, "accuracy": 0.5, "accuracy_interval": [0.2, 0.8], "auc": 0.5,
             "auc_interval": [0.4, 0.6]}  # fmt: skip
    entry = {"by": "folder", "slice": "fake/<gan>", **score, "below": ["accuracy", "auc"]}
    result = {"overall": score, "slices": [entry], "measures": {"brightness": "mean luma"}}
    results = report_pages.bare_results(workdir.path, slices=result)
    text = report_pages.section("slices", results)
    assert "<td>all</td><td></td><td>1,200</td><td>600</td><td>–</td><td>0.500</td>" in text
    assert "<td>fake/&lt;gan&gt;</td><td>1,200</td><td>600</td><td>–</td>" in text
    assert "below expectation: accuracy, AUC</td>" in text


def test_robustness_has_every_level(workdir):
    score = {"n": 8, "accuracy": 0.5, "accuracy_interval": [0.2, 0.8], "auc": float("nan"),
             "auc_interval": [float("nan")] * 2, "called_fake": 0.25}  # fmt: skip
    levels = [{"level": 90, **score}, {"level": 0.25, **score}]
    panel = {"title": "JPEG <again>", "unit": "quality", "levels": levels}
    result = {"clean": score, "perturbations": {"jpeg": panel}}
    robustness.write(workdir.path, result)
    results = report_pages.bare_results(workdir.path, robustness=result)
    text = report_pages.section("robustness", results)
    assert text.count("<img") == 1
    assert text.count("<tr") == 1 + 3
    assert "<td>JPEG &lt;again&gt;</td><td>0.25 (quality)</td><td>0.500</td>" in text
    assert "<td>–</td><td>[–, –]</td><td>25.0%</td>" in text


def test_test_sets_are_shown_and_their_names_escaped(untouched_cnn, dataset, tmp_path):
    workdir = Workdir(shutil.copytree(untouched_cnn, tmp_path / "run"))
    images, rows = images_and_rows(dataset)
    for image in images:
        path = tmp_path / "set" / image.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.data)
    labels, mean = columns(rows, "label", "probability")
    summary = ensemble_metrics.summarize(
        folds=[0], labels=labels, members=mean[None], mean=mean, threshold={"value": 0.5}
    )
    result = {"source": "/<i>", "members": member_digests(workdir), "broken": [], "in_training": [],
              **summary, "notes": ["a <u> note"]}  # fmt: skip
    folder = encoded.find(tmp_path / "set" / "valid")
    rows = [{**row, "filename": row["filename"].removeprefix("valid/")} for row in rows]
    audit = shortcuts.audit(images, len(images), 5)
    test_sets.write(workdir.path, NAME, folder, rows, result, audit)
    results = report_pages.read_results(workdir)
    generalisation.draw(workdir.path, generalisation.compare(results))
    text = report_pages.section("test_sets", results)
    for tag in ("<b>", "<i>", "<u>"):
        assert tag not in text
    assert "&lt;b&gt;mine &amp; yours" in text
    assert text.count("<img") == 5
    shutil.rmtree(workdir.path / "tests" / NAME)
    text = report_pages.section("test_sets", report_pages.read_results(workdir))
    assert "Not done yet" in text


def test_what_other_models_scored_is_to_be_done_again(untouched_cnn, tmp_path):
    copy = Workdir(shutil.copytree(untouched_cnn, tmp_path / "run"))
    result = {"members": {"0": "of another run"}, "perturbations": {}}
    for name in (ROBUSTNESS, VALID_METRICS):
        write_json(copy.path / name, result)
    write_json(copy.path / SLICES, {"slices": []})
    results = report_pages.read_results(copy)
    assert "Not done yet" in report_pages.section("robustness", results)
    assert "Not done yet" in report_pages.section("slices", results)
    assert "Scored by other models than the run has now" in report_pages.section("valid", results)
