import subprocess
import sys

from dftk.models.config import HeadConfig, ModelConfig
from dftk.utils.option import flags_of


def test_a_model_knows_its_backbone_and_sizes():
    assert ModelConfig(name="anomaly").backbone == "xception_multilevel"
    assert (ModelConfig(name="vit").size_multiple, ModelConfig().size_multiple) == (16, 0)
    assert ModelConfig(name="cnn", weights="none").from_scratch
    assert not ModelConfig().from_scratch


def test_heads_are_trained_or_fitted():
    fitted = [kind for kind in ("dense", "linear", "pca") if HeadConfig(kind=kind).is_fitted]
    assert fitted == ["pca"]


def test_flags_keep_their_names():
    names = [flag.name for config in (ModelConfig, HeadConfig) for flag in flags_of(config)]
    assert names == ["model", "weights", "image_size", "scaling", "freeze_blocks",
                     "batchnorm_momentum", "head", "fakes_lie", "dropout", "l2",
                     "head_batchnorm"]  # fmt: skip


def test_no_tensorflow_is_needed():
    code = "import sys, dftk.models.config; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
