import json

import pytest

from dftk.exports import manifest, output_files
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import write_json


def test_sources(trained, tmp_path):
    every = manifest.find_models(trained.path, None)
    assert every.folds == [0, 3]
    assert every.paths == [trained.model_path(0), trained.model_path(3)]
    assert every.in_words() == "the mean of folds 0, 3"
    one = manifest.find_models(trained.path, 3)
    assert (one.paths, one.in_words()) == ([trained.model_path(3)], "the model of fold 3")
    by_file = manifest.find_models(trained.model_path(3), None)
    assert by_file.paths == one.paths
    assert by_file.workdir.path == trained.path
    alone = manifest.find_models(tmp_path / "fold_1" / "model.keras", None)
    assert (alone.workdir, alone.folds, alone.in_words()) == (None, [], "the model")


def test_sources_that_are_none(trained, tmp_path):
    with pytest.raises(UserError, match=r"--fold=1: not finished in .*\[0, 3\]"):
        manifest.find_models(trained.path, 1)
    with pytest.raises(UsageError, match="is no workdir"):
        manifest.find_models(trained.model_path(3), 3)
    with pytest.raises(UserError, match="no config.json"):
        manifest.find_models(tmp_path, None)


@pytest.mark.parametrize(
    ("metrics", "value"),
    [
        ({"threshold": {"value": 0.37}}, 0.37),
        ({"threshold": {"value": None}}, 0.5),
        ({"pooled": {}}, 0.5),
        (None, 0.5),
    ],
)
def test_the_runs_threshold_or_the_default(metrics, value, tmp_path):
    if metrics is not None:
        write_json(tmp_path / "metrics.json", metrics)
    found = manifest.threshold(Workdir(tmp_path))
    assert found["value"] == value
    assert ("metrics.json" in found["source"]) == (value == 0.37)
    assert manifest.threshold(None)["value"] == 0.5


def test_it_says_what_it_is_and_where_it_came_from(trained, tmp_path):
    path = tmp_path / "written.part"
    path.write_bytes(b"weights")
    source = manifest.find_models(trained.path, None)
    written = manifest.describe(source, "onnx", path, "model.onnx", {"images": "some"})
    write_json(tmp_path / "manifest.json", written)
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written["classes"] == {"0": "real", "1": "fake"}
    assert written["inputs"]["serving_default"]["shape"] == ["batch", "height", "width", 3]
    assert written["output"]["name"] == "probability"
    assert written["sha256"] == output_files.digests(path, "model.onnx")
    run, record = written["provenance"]["run"], trained.config()
    assert run["inputs"]["dataset_fingerprint"] == record["inputs"]["dataset_fingerprint"]
    assert run["git_revision"] == record["git_revision"]
    digests = [member["sha256"] for member in written["provenance"]["members"]]
    assert digests == [output_files.digests(trained.model_path(f), "m")["m"] for f in (0, 3)]
    assert "serving_bytes" in manifest.inputs_and_output("saved_model")["inputs"]
    assert "serving_bytes" not in written["inputs"]
