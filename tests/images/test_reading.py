import os
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.datasets import sample
from dftk.images import reading
from dftk.images.image_files import UnreadableImage
from dftk.input import decoding

LIMIT = 10_000


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(sample.draw_jpeg(np.random.default_rng(0), fake=True))
    return path


def error(path):
    file = reading.read(path, LIMIT)
    result = file if isinstance(file, UnreadableImage) else reading.decode(file)
    assert isinstance(result, UnreadableImage)
    assert result.path == path
    return result.reason


def test_a_jpeg_is_its_pixels(jpeg):
    file = reading.read(jpeg, LIMIT)
    assert file.num_pixels == 64 * 64
    np.testing.assert_array_equal(reading.decode(file), Image.open(jpeg))


def test_why_a_file_cannot_be_decoded(jpeg, tmp_path):
    unreadable = "not a readable JPEG, PNG, GIF or BMP image"
    bad = tmp_path / "bad.jpg"
    for data, words in ((b"", "empty file"), (b"hello", unreadable),
                        (jpeg.read_bytes()[:500], unreadable)):  # fmt: skip
        bad.write_bytes(data)
        assert error(bad) == words
    assert error(tmp_path / "gone.jpg") == "No such file or directory"


def test_pipes_and_devices_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert error(tmp_path / "pipe.jpg") == "not a regular file"
    for path in ("/dev/zero", tmp_path):
        (tmp_path / "link.jpg").unlink(missing_ok=True)
        (tmp_path / "link.jpg").symlink_to(path)
        assert error(tmp_path / "link.jpg") in ("not a regular file", "Is a directory")


def test_more_pixels_than_allowed_are_refused_by_the_header(tmp_path):
    """As a decompression bomb: 60,000 x 60,000 pixels by its header, 45 bytes of file."""
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 60_000, 60_000))
    assert error(path) == "3,600,000,000 pixels by its header, more than the 10,000 allowed"
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(2**30)
    assert error(tmp_path / "sparse.jpg").startswith("1,073,741,824 bytes, too many")


def test_a_bmp_with_a_palette_says_what_to_do(tmp_path):
    path = tmp_path / "a.bmp"
    Image.new("P", (50, 40), 3).save(path)
    assert error(path) == "a BMP of 8 bits per pixel, not of 24 or 32; save it as PNG"


def test_alpha_is_dropped_not_blended(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGBA", (2, 2), (200, 10, 30, 0)).save(path)
    assert reading.decode(reading.read(path, LIMIT)).numpy()[0, 0].tolist() == [200, 10, 30]


@pytest.mark.parametrize("kind", [MemoryError, tf.errors.ResourceExhaustedError])
def test_no_memory_for_one_file_is_the_error_of_that_file(jpeg, monkeypatch, kind):
    def fail(_):
        raise kind() if kind is MemoryError else kind(None, None, "OOM")

    monkeypatch.setattr(decoding, "decode_image", fail)
    assert error(jpeg) == "no memory to decode its 4,096 pixels; score a smaller copy of it"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_damaged_files_are_an_image_or_an_error(kind, jpeg, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / f"x.{kind.lower()}"
    Image.open(jpeg).save(path, kind)
    whole = path.read_bytes()
    results = set()
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 400), 3):
            data[place] = rng.integers(256)
        path.write_bytes(bytes(data))
        file = reading.read(path, LIMIT)
        results.add(type(file if isinstance(file, UnreadableImage) else reading.decode(file)))
    assert results <= {UnreadableImage, type(tf.constant(0))}
    assert UnreadableImage in results
