"""The table of an ablation, from a comparison of trained runs."""

import dataclasses

import pytest

from dftk.evaluation.comparison import comparison
from dftk.launch import ablation
from dftk.training.config import Config, resolve
from dftk.utils.errors import UsageError


@pytest.fixture(scope="module")
def content(trained, trained_cnn):
    compared, _ = comparison.compare([trained, trained_cnn], None, False, with_valid=False)
    return compared


def test_a_row_for_each_run_with_its_difference_from_the_base(content):
    assert content["runs"][0]["valid"] is None
    configs = {"base": Config(), "model=cnn": resolve({"model": "cnn", "keep": "last"})}
    text = ablation.table(content, configs)
    head, rule, base, other = text.splitlines()[:4]
    assert "`model=cnn` also brings weights=none image_size=256 head=hidden" in text
    assert "†" not in text
    assert head.startswith("| change | accuracy | difference | p | AUC |")
    assert rule.count("--:") == 8
    assert base.startswith("| base | ")
    side, test = content["runs"][1]["held_out"], content["comparisons"][0]["held_out"]["auc"]
    assert other.startswith("| `model=cnn` | ")
    assert f" {side['auc']:.4f} | {test['value']:+.4f} [{test['low']:+.4f}, " in other


def test_two_changes_of_one_folder_are_refused(tmp_path):
    configs = dict.fromkeys(["base", "weights=a/b", "weights=a?b"], Config())
    with pytest.raises(UsageError, match="share a workdir"):
        ablation.ablate(configs, [0], tmp_path)


def test_a_change_that_chooses_by_what_it_is_scored_on_has_a_dagger(content):
    base = resolve({"decay": "cosine", "keep": "last"})
    changed = dataclasses.replace(base, keep="best")
    text = ablation.table(content, {"base": base, "keep=best": changed})
    assert "| `keep=best` † |" in text
    assert "†: unlike the base, chose its epoch" in text
