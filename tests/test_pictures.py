from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dftk.config import UserError
from dftk.inference import gradcam, pictures, stream


@pytest.fixture
def score(small_ensemble, tmp_path):
    path = tmp_path / "with $math$" / "wide.png"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 2200, 3), np.uint8)
    Image.fromarray(noise).save(path)
    (score,) = stream.score_files(small_ensemble, [path])
    return score


def test_names_tell_the_path_and_never_collide():
    paths = [Path(p) for p in ("a/b.jpg", "/a/b.jpg", "../a/b.jpg", "a__b.jpg", "b.jpg")]
    names = [pictures.picture_name(path) for path in paths]
    assert len(set(names)) == len(paths)
    assert names[0].startswith("a__b.jpg.")
    assert all(name.endswith(".png") for name in names)
    long = [pictures.picture_name(Path(f"{i}/" + "ü" * 250)) for i in range(2)]
    assert long[0] != long[1]
    assert max(len(name.encode()) for name in long) < 256
    pictures.picture_name(Path("\udcff.jpg")).encode()  # a name that is no UTF-8


def test_a_verdict_and_an_explanation(score, small_ensemble, tmp_path, monkeypatch):
    pictures.draw_verdict(score, tmp_path / "plots", 0.5)
    calls = []
    real = gradcam.heatmaps
    monkeypatch.setattr(gradcam, "heatmaps", lambda *a: calls.append(real(*a)) or calls[-1])
    pictures.draw_explanation(score, small_ensemble, tmp_path / "cams", 0.5)
    shown = [np.array(Image.open(next((tmp_path / name).iterdir()))) for name in ("plots", "cams")]
    assert shown[1].shape[1] > 1.5 * shown[0].shape[1], "two images side by side"
    assert len(calls) == 2, "every member"
    mean = np.mean([probabilities[0] for _, probabilities in calls])
    assert mean == pytest.approx(score.probability, abs=1e-5)


def test_a_folder_that_cannot_be_written_is_named(score, small_ensemble, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--plot="):
        pictures.draw_verdict(score, tmp_path / "file", 0.5)
    with pytest.raises(UserError, match="--explain="):
        pictures.draw_explanation(score, small_ensemble, tmp_path / "file", 0.5)
