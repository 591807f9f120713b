import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dftk.inference import gradcam, result_plots, stream
from dftk.utils.errors import UserError

LIMIT = 10**6


@pytest.fixture
def score(small_ensemble, tmp_path):
    path = tmp_path / "with $math$" / "wide.png"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (300, 2200, 3), np.uint8)
    Image.fromarray(noise).save(path)
    (score,) = stream.score_files(small_ensemble, [path])
    return score


@pytest.fixture
def image(score):
    return result_plots.read_again(score.path, LIMIT)


def test_names_tell_the_path_and_never_collide():
    paths = [Path(p) for p in ("a/b.jpg", "/a/b.jpg", "../a/b.jpg", "a__b.jpg", "b.jpg")]
    names = [result_plots.plot_name(path) for path in paths]
    assert len(set(names)) == len(paths)
    assert names[0].startswith("a__b.jpg.")
    assert all(name.endswith(".png") for name in names)
    long = [result_plots.plot_name(Path(f"{i}/" + "ü" * 250)) for i in range(2)]
    assert long[0] != long[1]
    assert max(len(name.encode()) for name in long) < 256
    result_plots.plot_name(Path("\udcff.jpg")).encode()  # a name that is no UTF-8


def test_a_verdict_and_an_explanation(score, image, small_ensemble, tmp_path, monkeypatch):
    result_plots.plot_verdict(score, image, tmp_path / "plots", 0.5)
    calls = []
    real = gradcam.heatmaps
    monkeypatch.setattr(gradcam, "heatmaps", lambda *a: calls.append(real(*a)) or calls[-1])
    result_plots.plot_explanation(score, image, small_ensemble, tmp_path / "cams", 0.5)
    shown = [np.array(Image.open(next((tmp_path / name).iterdir()))) for name in ("plots", "cams")]
    assert shown[1].shape[1] > 1.5 * shown[0].shape[1], "two images side by side"
    assert len(calls) == 2, "every member"
    mean = np.mean([probabilities[0] for _, probabilities in calls])
    assert mean == pytest.approx(score.probability, abs=1e-5)


def test_a_folder_that_cannot_be_written_is_named(score, image, small_ensemble, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--plot="):
        result_plots.plot_verdict(score, image, tmp_path / "file", 0.5)
    with pytest.raises(UserError, match="--explain="):
        result_plots.plot_explanation(score, image, small_ensemble, tmp_path / "file", 0.5)


def test_no_two_members_maps_are_held_at_once(score, image, small_ensemble, tmp_path, monkeypatch):
    """Each has the image's own size: 270 MB for 67 megapixels."""
    made, held = [], []

    def heatmaps(_, images):
        held.append(sum(reference() is not None for reference in made))
        maps = np.zeros(images.shape[:3], np.float32)
        made.append(weakref.ref(maps))
        return maps, np.zeros(1, np.float32)

    monkeypatch.setattr(gradcam, "heatmaps", heatmaps)
    result_plots.plot_explanation(score, image, small_ensemble, tmp_path / "cams", 0.5)
    assert held == [0, 0]


def test_the_plot_shows_the_mean_of_the_maps(score, image, small_ensemble, tmp_path, monkeypatch):
    heats = iter((0.2, 0.6))
    laid = []
    monkeypatch.setattr(
        gradcam,
        "heatmaps",
        lambda _, images: (np.full(images.shape[:3], next(heats), np.float32), None),
    )
    monkeypatch.setattr(gradcam, "overlay", lambda image, heat: laid.append(heat) or image)
    result_plots.plot_explanation(score, image, small_ensemble, tmp_path / "cams", 0.5)
    np.testing.assert_allclose(laid[0], 0.4, rtol=1e-6)
    assert laid[0].shape == (150, 1100)


def test_a_file_that_is_gone_since_it_was_scored_says_so(score):
    score.path.unlink()
    gone = result_plots.read_again(score.path, LIMIT)
    assert gone.path == score.path
    assert gone.reason.startswith("scored, but not readable again for its picture: No such file")
