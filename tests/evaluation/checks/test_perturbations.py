"""Each perturbation against another implementation: Pillow's or SciPy's."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dftk.evaluation.checks import perturbations

SEEDS = perturbations.seeds_of(["a.jpg", "b.jpg", "c.jpg"], 0)


@pytest.fixture(scope="module")
def images(examples):
    return examples.fetch(np.array([0, 7, 12])).numpy()[:, :, :60]


def change(name, images, level, seeds=SEEDS):
    return perturbations.ALL[name].at(level)(images, seeds).numpy()


@pytest.mark.parametrize("quality", [90, 30])
def test_jpeg_is_pillows(images, quality):
    for image, changed in zip(images, change("jpeg", images, quality)):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        np.testing.assert_array_equal(changed, Image.open(file))


@pytest.mark.parametrize("share", [0.75, 0.35])
def test_rescale_is_pillows(images, share):
    for image, changed in zip(images, change("rescale", images, share)):
        height, width = image.shape[:2]
        small = Image.fromarray(image).resize(
            (round(width * share), round(height * share)), Image.Resampling.BILINEAR
        )
        again = small.resize((width, height), Image.Resampling.BILINEAR)
        # Pillow rounds to levels between rows and columns, too.
        assert np.abs(changed.astype(int) - np.asarray(again)).max() <= 2
        assert np.abs(changed.astype(int) - image).max() > 5


@pytest.mark.parametrize("sigma", [0.5, 4])
def test_blur_is_scipys(images, sigma):
    for image, changed in zip(images, change("blur", images, sigma)):
        expected = ndimage.gaussian_filter(
            image.astype(float), (sigma, sigma, 0), mode="reflect", truncate=4.0
        )
        assert np.abs(changed - expected).max() <= 0.51  # half a level, and float32


def test_blur_of_an_image_narrower_than_its_kernel():
    images = np.full((3, 40, 5, 3), 77, np.uint8)
    np.testing.assert_array_equal(change("blur", images, 4), images)


@pytest.mark.parametrize("sigma", [4, 16])
def test_noise_is_normal(sigma):
    grey = np.full((3, 100, 100, 3), 128, np.uint8)
    drawn = change("noise", grey, sigma).astype(float) - 128
    assert drawn.mean() == pytest.approx(0, abs=4 * sigma / np.sqrt(drawn.size))
    assert drawn.std() == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.02)  # 1/12: rounding
    share = (np.abs(drawn) <= 2 * sigma).mean()
    assert share == pytest.approx(0.954, abs=0.02)
    assert abs(np.corrcoef(drawn[0].ravel(), drawn[1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(drawn[0, :, :, 0].ravel(), drawn[0, :, :, 1].ravel())[0, 1]) < 0.05


def test_noise_is_clipped_not_wrapped():
    ends = np.repeat(np.array([0, 255, 0], np.uint8), 64 * 64 * 3).reshape(3, 64, 64, 3)
    changed = change("noise", ends, 8)
    assert changed[0].max() < 64
    assert changed[1].min() > 191


def test_crop_is_a_window_of_its_image(images):
    corners = []
    for image, changed in zip(images, change("crop", images, 0.6)):
        height, width = round(0.6 * image.shape[0]), round(0.6 * image.shape[1])
        assert changed.shape == (height, width, 3)
        corners += [
            (y, x)
            for y in range(image.shape[0] - height + 1)
            for x in range(image.shape[1] - width + 1)
            if np.array_equal(image[y : y + height, x : x + width], changed)
        ]
    assert len(corners) == 3
    assert len(set(corners)) > 1


def test_windows_reach_every_corner():
    names = [str(i) for i in range(400)]
    image = np.arange(8, dtype=np.uint8).reshape(2, 4)[..., None].repeat(3, -1)
    changed = change("crop", np.stack([image] * 400), 0.5, perturbations.seeds_of(names, 0))
    assert set(changed[:, 0, 0, 0]) == {0, 1, 2, 4, 5, 6}
    counts = np.bincount(changed[:, 0, 0, 0])
    assert counts[[0, 1, 2, 4, 5, 6]].min() > 400 / 6 / 2


@pytest.mark.parametrize("name", perturbations.ALL)
def test_an_image_is_changed_alike_whatever_its_neighbours(images, name):
    level = perturbations.ALL[name].levels[-1]
    together = change(name, images, level)
    alone = change(name, images[1:2], level, SEEDS[1:2])
    np.testing.assert_array_equal(together[1:2], alone)
    assert together.dtype == np.uint8


def test_levels_go_from_mild_to_harsh(images):
    for name, perturbation in perturbations.ALL.items():
        if name == "crop":  # of another size
            continue
        distance = [
            np.abs(change(name, images, level).astype(int) - images).mean()
            for level in perturbation.levels
        ]
        assert distance == sorted(distance), name
        assert distance[0] > 0


def test_seeds_are_of_the_name_and_the_seed():
    again = perturbations.seeds_of(["c.jpg", "a.jpg"], 0)
    np.testing.assert_array_equal(again, SEEDS[[2, 0]])
    assert (perturbations.seeds_of(["a.jpg"], 1) != SEEDS[:1]).any()
