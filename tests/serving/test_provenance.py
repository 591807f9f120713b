import json
import shutil

import numpy as np
import pytest

from dftk.runs.members import member_digests
from dftk.runs.workdir import Workdir
from dftk.serving import provenance
from dftk.serving.provenance import Measured, Rate
from dftk.utils.errors import UserError
from dftk.utils.files import read_csv, write_csv, write_json


def test_rates_count_errors_at_the_threshold():
    measured = Measured(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.5, 0.9, 0.5, 0.4]), "five")
    assert measured.real_called_fake(0.5) == Rate(2, 3)
    assert measured.fakes_missed(0.5) == Rate(1, 2)
    assert measured.fakes_missed(0.0) == Rate(0, 2)


def test_intervals_are_wilsons():
    """1 of 10: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964."""
    found = Rate(1, 10).as_dict()
    assert found["rate"] == 0.1
    np.testing.assert_allclose(found["interval"], [0.017876, 0.404150], atol=1e-5)
    assert Rate(0, 0).as_dict() == {"errors": 0, "n": 0, "rate": None, "interval": None}


@pytest.fixture
def workdir(trained, tmp_path):
    ignored = shutil.ignore_patterns("*.keras", "tensorboard", "plots")
    return shutil.copytree(trained.path, tmp_path / "run", ignore=ignored)


def test_held_out_predictions_are_the_rates_of_a_run(workdir):
    known = provenance.read(workdir, 0.5)
    rows = [row for fold in (0, 3) for row in read_csv(workdir / f"fold_{fold}/predictions.csv")]
    real = [row["probability"] for row in rows if row["label"] == 0]
    told = known.as_dict(0.3)
    assert told["real_called_fake"]["n"] == len(real)
    assert told["real_called_fake"]["errors"] == sum(p >= np.float32(0.3) for p in real)
    assert "held-out" in told["measured_on"]
    assert told["model"] == "run, folds 0, 3"
    assert "dftk_sample/kfold5/1.0.0, seen at 32 pixels; at most 200" in told["trained_on"]
    assert "nothing about faces" in told["limits"]
    json.dumps(told, allow_nan=False)


def test_valid_is_preferred_where_these_models_were_scored_on_it(workdir):
    columns = ["filename", "label", "probability", "fold_0", "fold_3"]
    rows = [
        dict(zip(columns, ("a", 0, 0.6, 0.9, 0.3))),
        dict(zip(columns, ("b", 1, 0.6, 0.3, 0.9))),
    ]
    write_csv(workdir / "valid_predictions.csv", columns, rows)
    write_json(workdir / "valid_metrics.json", {"members": member_digests(Workdir(workdir))})
    told = provenance.read(workdir, 0.5).as_dict(0.5)
    assert "no part in training" in told["measured_on"]
    assert (told["real_called_fake"]["rate"], told["fakes_missed"]["rate"]) == (1, 0)
    single = provenance.read(workdir / "fold_3" / "model.keras", 0.5)
    told = single.as_dict(0.5)
    assert single.name == "run, fold 3"
    assert (told["real_called_fake"]["rate"], told["fakes_missed"]["rate"]) == (0, 0)
    shutil.rmtree(workdir / "fold_0")  # scored when there was another model
    assert "held-out" in provenance.read(workdir, 0.5).measured_note


def test_threshold_is_given_or_the_runs_or_a_half(workdir):
    metrics = json.loads((workdir / "metrics.json").read_text())
    write_json(workdir / "metrics.json", {**metrics, "threshold": {"value": 0.25}})
    assert provenance.read(workdir, None).threshold == 0.25
    assert provenance.read(workdir, 0.75).threshold == 0.75
    write_json(workdir / "metrics.json", {**metrics, "threshold": {"value": None}})
    known = provenance.read(workdir, None)
    assert (known.threshold, "default" in known.threshold_source) == (0.5, True)


def test_a_file_from_nowhere_has_no_numbers(tmp_path):
    told = provenance.read(tmp_path / "some.keras", None).as_dict(0.5)
    assert told["real_called_fake"] is None
    assert told["trained_on"] == "not recorded"
    assert "not known" in told["limits"]
    with pytest.raises(UserError, match=r"no config\.json"):
        provenance.read(tmp_path, None)
