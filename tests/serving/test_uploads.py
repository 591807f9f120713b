import struct

import numpy as np
import pytest
import tensorflow as tf

from dftk.datasets import sample
from dftk.input import decoding
from dftk.serving.uploads import UploadError, UploadLimits, decode

JPEG = sample.draw_jpeg(np.random.default_rng(0), fake=True)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
BMP = b"BM" + bytes(16) + struct.pack("<iiHH", 4, 4, 1, 8) + bytes(100)
PNG = tf.io.encode_png(PIXELS).numpy()


def test_pixels_are_those_of_training():
    np.testing.assert_array_equal(decode(JPEG, UploadLimits()), decoding.decode_image(JPEG))
    np.testing.assert_array_equal(decode(PNG, UploadLimits()), PIXELS)


def bomb(side):
    """A PNG that says it has side x side pixels: its header alone."""
    return PNG[:16] + struct.pack(">II", side, side) + PNG[24:]


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"", 422, "empty"),
        (b"Dear Sir", 415, "not a JPEG, PNG, GIF or BMP image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", 415, "not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not a JPEG"),
        (JPEG[: len(JPEG) // 2], 422, "broken or cut"),
        (PNG[:40], 422, "broken or cut"),
        (b"\xff\xd8", 415, "not a JPEG"),
        (BMP, 415, "a BMP of 8 bits per pixel"),
        (bomb(2**16), 413, "4,294,967,296 pixels, more than the 16,777,216"),
        (JPEG + b"\xff\xda" * 200, 422, "more than 100 scans"),
        (JPEG + bytes(11 * 2**20), 413, "more than 10 MB"),
    ],
)
def test_refusals(data, status, text):
    with pytest.raises(UploadError, match=text) as caught:
        decode(data, UploadLimits())
    assert caught.value.status == status


def test_limits_are_heeded_to_the_pixel_and_byte():
    assert decode(PNG, UploadLimits(max_pixels=600, max_bytes=len(PNG))).shape == (20, 30, 3)
    for limits in (UploadLimits(max_pixels=599), UploadLimits(max_bytes=len(PNG) - 1)):
        with pytest.raises(UploadError):
            decode(PNG, limits)


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "")])
def test_no_memory_is_a_refusal(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(decoding, "decode_image", fail)
    with pytest.raises(UploadError, match="no memory") as caught:
        decode(PNG, UploadLimits())
    assert caught.value.status == 413
