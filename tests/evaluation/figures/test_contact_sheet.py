import numpy as np
import pytest
from PIL import Image

from dftk.evaluation.figures import contact_sheet, plots

ROWS = [
    {"filename": "r1", "label": 0, "probability": 0.9},
    {"filename": "r2", "label": 0, "probability": 0.1},
    {"filename": "f1", "label": 1, "probability": 0.05},
    {"filename": "f2", "label": 1, "probability": 0.8},
    {"filename": "f0", "label": 1, "probability": 0.8},
]


def test_the_most_wrong_come_first():
    names = [row["filename"] for row in contact_sheet.order(ROWS)]
    assert names == ["f1", "r1", "f0", "f2", "r2"]
    assert [row["filename"] for row in contact_sheet.most_wrong(ROWS, 2)] == [
        "r1",
        "r2",
        "f1",
        "f0",
    ]


def test_thumbnails_keep_their_shape_and_only_shrink():
    assert contact_sheet.thumbnail(np.zeros((320, 640, 3), np.uint8)).shape == (70, 140, 3)
    small = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(contact_sheet.thumbnail(small), small)
    assert contact_sheet.thumbnail(np.zeros((1, 4000, 3), np.uint8)).shape == (1, 140, 3)


@pytest.mark.parametrize("counts", [(12, 12), (1, 0), (0, 7)])
def test_a_sheet_shows_every_tile(tmp_path, counts):
    image = np.full((20, 30, 3), (10, 200, 10), np.uint8)
    tiles = [
        contact_sheet.Tile(image, {"filename": f"a$b$/{'n' * 60}.jpg", "label": label,
                                   "probability": 0.25})
        for label, count in enumerate(counts) for _ in range(count)
    ]  # fmt: skip
    contact_sheet.draw(tmp_path / "plots" / "sheet.png", tiles, 0.5)
    pixels = np.asarray(Image.open(tmp_path / "plots" / "sheet.png").convert("RGB")).astype(int)
    green = (np.abs(pixels - (10, 200, 10)).max(axis=-1) < 20).sum()
    one = green / sum(counts)
    assert one > 100 * 70  # pixels of each tile
    orange = np.abs(pixels - [int(plots.ACCENT[i : i + 2], 16) for i in (1, 3, 5)]).max(axis=-1) < 9
    assert orange.any() == bool(counts[1])  # only fakes of 0.25 are wrong
