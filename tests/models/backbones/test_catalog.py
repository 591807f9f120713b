import pytest
from repository import ROOT

from dftk.models import registry
from dftk.models.backbones.catalog import ARCHITECTURES, MODELS
from dftk.training.config import resolve


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_its_backbone(name):
    backbone = registry.find_backbone(resolve({"model": name}).model)
    assert callable(backbone.network)


def test_models_of_one_backbone_share_its_name():
    assert MODELS["anomaly"].backbone == MODELS["xception_multilevel"].backbone
    assert MODELS["xception"].backbone == "xception"


def test_build_md_names_every_file_of_weights():
    text = (ROOT / "BUILD.md").read_text()
    for entry in ARCHITECTURES.values():
        if entry.weights_file:
            assert f"`{entry.weights_file}`" in text
