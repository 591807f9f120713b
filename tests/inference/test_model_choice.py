import json
from pathlib import Path

import pytest

from dftk.inference import model_choice
from dftk.utils.errors import UsageError, UserError


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in ("a.keras", "b.keras", "c,d.keras")]
    for path in paths:
        path.write_text("")
    return paths


def test_files_and_workdirs_are_given_one_by_one_or_with_commas(files, trained):
    a, b, comma = files
    folds = [trained.model_path(0), trained.model_path(3)]
    assert model_choice.model_files([f"{a},{trained.path}", str(b)]) == [a, *folds, b]
    assert model_choice.model_files([str(comma)]) == [comma]


def test_a_model_twice_would_count_double(files, trained):
    with pytest.raises(UsageError, match="given twice"):
        model_choice.model_files([str(files[0]), str(files[0])])
    with pytest.raises(UsageError, match="given twice"):
        model_choice.model_files([f"{trained.path},{trained.model_path(3)}"])
    with pytest.raises(UsageError, match="--model: give"):
        model_choice.model_files([","])
    with pytest.raises(UserError, match="no config.json"):
        model_choice.model_files([str(files[0].parent)])


def test_columns_are_as_short_as_tells_them_apart():
    folds = [Path("runs/a/fold_0/model.keras"), Path("runs/a/fold_1/model.keras")]
    assert model_choice.column_names([*folds, Path("x.keras")]) == ["fold_0", "fold_1", "x"]
    two_runs = [folds[0], Path("runs/b/fold_0/model.keras")]
    assert model_choice.column_names(two_runs) == list(map(str, two_runs))


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("1", 1), ("0.25", 0.25), ("1e-3", 0.001)])
def test_a_number_is_the_threshold(text, value):
    assert model_choice.threshold(text, ["x.keras"]) == (value, "given")


@pytest.mark.parametrize("text", ["2", "-0.1", "nan", "half", ""])
def test_no_threshold_is_no_number_in_0_to_1(text):
    with pytest.raises(UsageError, match="from 0 to 1, or chosen"):
        model_choice.threshold(text, ["x.keras"])


def test_chosen_is_what_the_run_chose(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"threshold": {"value": 0.375}}))
    assert model_choice.threshold("chosen", [str(tmp_path)])[0] == 0.375
    assert model_choice.threshold(None, [str(tmp_path)])[0] == 0.375


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds none; train the run to its end, or give a number"),
        ("{", "not readable as JSON; python -m dftk.train --merge"),
        ("{}", "holds none"),
        ('{"threshold": {"value": null}}', "holds none"),
    ],
)
def test_a_run_that_chose_none_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        model_choice.threshold("chosen", [str(tmp_path)])
    assert str(tmp_path / "metrics.json") in str(caught.value)


def test_chosen_needs_one_run(tmp_path, files):
    for given in ([str(files[0])], [str(tmp_path), str(files[0])]):
        with pytest.raises(UsageError, match="give one workdir"):
            model_choice.threshold("chosen", given)


def test_a_trained_run_says_what_it_chose(trained):
    content = json.loads((trained.path / "metrics.json").read_text())
    chosen = content["threshold"]["value"]
    for given in (trained.path, trained.model_path(3)):
        value, source = model_choice.threshold(None, [str(given)])
        assert (value, source) == (chosen, "chosen by the run on its held-out folds")


def test_without_a_run_that_chose_it_is_the_default(files, tmp_path):
    assert model_choice.threshold(None, [str(files[0])])[0] == 0.5
    assert model_choice.threshold(None, [str(tmp_path), str(files[0])])[0] == 0.5
