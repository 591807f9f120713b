import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from dftk.evaluation.checks import perturbations, robustness
from dftk.images import encoded
from dftk.input import residency
from dftk.runs import saved_models
from dftk.utils.errors import UserError

# Of all, see test_audits: each level is a trace of its own.
TRIED = {
    name: dataclasses.replace(perturbations.ALL[name], levels=perturbations.ALL[name].levels[-2:])
    for name in ("noise", "crop")
}


@pytest.fixture(scope="module")
def ensemble(trained):
    return saved_models.load_ensemble(saved_models.model_paths(trained.path))


@pytest.fixture(scope="module")
def result(ensemble, dataset):
    shards = residency.limit_examples(dataset.valid, 12)
    total = sum(shard.length for shard in shards)
    return robustness.sweep(ensemble, encoded.from_shards(shards), total, TRIED)


def test_every_level_has_its_scores(result):
    assert set(result["perturbations"]) == set(TRIED)
    for name, panel in result["perturbations"].items():
        assert [level["level"] for level in panel["levels"]] == [*TRIED[name].levels]
        for level in panel["levels"]:
            assert level["n"] == result["clean"]["n"]
            low, high = level["auc_interval"]
            assert 0 <= low <= level["auc"] <= high <= 1


def test_clean_is_what_the_ensemble_says_of_the_images_as_they_are(ensemble, dataset, result):
    examples = residency.open_examples(residency.limit_examples(dataset.valid, 12), "none")
    rows = np.arange(len(examples.labels))
    called = ensemble.score(examples, rows).mean(axis=0) >= 0.5
    assert result["clean"]["accuracy"] == pytest.approx((called == examples.labels).mean())
    assert result["clean"]["called_fake"] == pytest.approx(called.mean())


def test_a_level_is_what_the_ensemble_says_of_the_changed_images(ensemble, dataset, result):
    images = list(encoded.from_shards(residency.limit_examples(dataset.valid, 12)))
    change = perturbations.ALL["noise"].at(32)
    called = []
    for image in images:
        pixels = change(
            encoded.decode(image).image[None], perturbations.seeds_of([image.filename], 0)
        )
        called.append(ensemble(pixels).mean() >= 0.5)
    level = result["perturbations"]["noise"]["levels"][-1]
    assert level["level"] == 32
    assert level["called_fake"] == pytest.approx(np.mean(called), abs=1.01 / len(images))


def test_a_workdir_gets_numbers_and_a_picture(result, tmp_path):
    robustness.write(tmp_path, result)
    assert json.loads((tmp_path / "robustness.json").read_text()) == result
    picture = Image.open(tmp_path / robustness.PICTURE).convert("L")
    assert (np.asarray(picture) < 250).mean() > 0.02


def test_a_broken_record_is_named(ensemble):
    broken = encoded.Encoded("valid/fake/broken.jpg", 1, -1, b"\xff\xd8 no jpeg")
    with pytest.raises(UserError, match=r"valid/fake/broken.jpg: not a readable"):
        robustness.sweep(ensemble, [broken], 1)
