import numpy as np
import pytest
from PIL import Image

from dftk.evaluation.figures import plots


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "picture.png"


def ink(path):
    """Share of pixels that are not background."""
    pixels = np.asarray(Image.open(path).convert("L"))
    return float((pixels < 250).mean())


def test_roc(path):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    plots.roc(
        path,
        {"fold 0": (labels, rng.random(200), 0.5), "pooled": (labels, labels * 0.5, 1.0)},
        "pooled",
    )
    assert ink(path) > 0.01


@pytest.mark.parametrize("count", [1, 4, 6])
def test_confusion_matrices(path, count):
    plots.confusion_matrices(path, {f"fold {i}": [[50, 3], [0, 0]] for i in range(count)})
    assert ink(path) > 0.05


@pytest.mark.parametrize("epochs", [1, 30])
def test_history(path, epochs):
    rows = [
        {"fold": fold, "phase": "frozen" if epoch < epochs / 2 else "finetune",
         "loss": 1 / (epoch + 1), "val_loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.6}
        for fold in range(2) for epoch in range(epochs)
    ]  # fmt: skip
    plots.history(path, rows)
    assert ink(path) > 0.005


def test_reliability_also_where_bins_are_empty(path):
    labels = np.arange(200) % 2
    plots.reliability(path, {"folds": (labels, 0.9 * labels), "valid": (labels, labels / 2)})
    assert ink(path) > 0.005


@pytest.mark.parametrize("probability", [0.1, 0.9])
def test_verdict(path, probability):
    plots.verdict(path, np.zeros((40, 60, 3), np.uint8), "a_name.jpg", probability, 0.5)
    assert ink(path) > 0.1


@pytest.mark.parametrize("shape", [(40, 60, 3), (200, 20, 3)])
def test_explanation(path, shape):
    images = np.zeros(shape, np.uint8), np.full(shape, 90, np.uint8)
    plots.explanation(path, *images, "a_name.jpg", 0.7, 0.5)
    assert ink(path) > 0.05
