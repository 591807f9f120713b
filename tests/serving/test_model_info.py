import json
import shutil

import numpy as np
import pytest

from dftk.runs.members import member_digests
from dftk.runs.workdir import Workdir
from dftk.serving import model_info
from dftk.serving.model_info import ErrorRate, LabeledPredictions
from dftk.utils.errors import UserError
from dftk.utils.files import read_csv, write_csv, write_json


def test_rates_count_errors_at_the_threshold():
    found = LabeledPredictions(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.5, 0.9, 0.5, 0.4]))
    assert found.real_called_fake(0.5) == ErrorRate(2, 3)
    assert found.fakes_missed(0.5) == ErrorRate(1, 2)
    assert found.fakes_missed(0.0) == ErrorRate(0, 2)


def test_intervals_are_wilsons():
    """1 of 10: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964."""
    found = ErrorRate(1, 10).as_dict()
    assert found["rate"] == 0.1
    np.testing.assert_allclose(found["interval"], [0.017876, 0.404150], atol=1e-5)
    assert ErrorRate(0, 0).as_dict() == {"errors": 0, "n": 0, "rate": None, "interval": None}


@pytest.fixture
def workdir(trained, tmp_path):
    ignored = shutil.ignore_patterns("*.keras", "tensorboard", "plots")
    return shutil.copytree(trained.path, tmp_path / "run", ignore=ignored)


def test_held_out_predictions_are_the_rates_of_a_run(workdir):
    known = model_info.read(workdir, 0.5)
    rows = [row for fold in (0, 3) for row in read_csv(workdir / f"fold_{fold}/predictions.csv")]
    real = [row["probability"] for row in rows if row["label"] == 0]
    shown = known.as_dict(0.3)
    assert shown["real_called_fake"]["n"] == len(real)
    assert shown["real_called_fake"]["errors"] == sum(p >= np.float32(0.3) for p in real)
    assert "held-out" in shown["measured_on"]
    assert shown["model"] == "run, folds 0, 3"
    assert "dftk_sample/kfold5/1.0.0, seen at 32 pixels; at most 200" in shown["trained_on"]
    assert "nothing about faces" in shown["limits"]
    json.dumps(shown, allow_nan=False)


def test_valid_is_preferred_where_these_models_were_scored_on_it(workdir):
    columns = ["filename", "label", "probability", "fold_0", "fold_3"]
    rows = [
        dict(zip(columns, ("a", 0, 0.6, 0.9, 0.3))),
        dict(zip(columns, ("b", 1, 0.6, 0.3, 0.9))),
    ]
    write_csv(workdir / "valid_predictions.csv", columns, rows)
    write_json(workdir / "valid_metrics.json", {"members": member_digests(Workdir(workdir))})
    shown = model_info.read(workdir, 0.5).as_dict(0.5)
    assert "no part in training" in shown["measured_on"]
    assert (shown["real_called_fake"]["rate"], shown["fakes_missed"]["rate"]) == (1, 0)
    single = model_info.read(workdir / "fold_3" / "model.keras", 0.5)
    shown = single.as_dict(0.5)
    assert single.name == "run, fold 3"
    assert (shown["real_called_fake"]["rate"], shown["fakes_missed"]["rate"]) == (0, 0)
    shutil.rmtree(workdir / "fold_0")  # scored when there was another model
    assert "held-out" in model_info.read(workdir, 0.5).measured_on


def test_threshold_is_given_or_the_runs_or_a_half(workdir):
    metrics = json.loads((workdir / "metrics.json").read_text())
    write_json(workdir / "metrics.json", {**metrics, "threshold": {"value": 0.25}})
    assert model_info.read(workdir, None).threshold == 0.25
    assert model_info.read(workdir, 0.75).threshold == 0.75
    write_json(workdir / "metrics.json", {**metrics, "threshold": {"value": None}})
    known = model_info.read(workdir, None)
    assert (known.threshold, "default" in known.threshold_source) == (0.5, True)


def test_a_file_from_nowhere_has_no_numbers(tmp_path):
    shown = model_info.read(tmp_path / "some.keras", None).as_dict(0.5)
    assert shown["real_called_fake"] is None
    assert shown["trained_on"] == "not recorded"
    assert "not known" in shown["limits"]
    with pytest.raises(UserError, match=r"no config\.json"):
        model_info.read(tmp_path, None)
