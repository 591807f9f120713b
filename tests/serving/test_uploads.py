import struct

import numpy as np
import pytest
import tensorflow as tf

from dftk.datasets import sample
from dftk.input import decoding
from dftk.serving.uploads import Limits, Refused, read_image

JPEG = sample.draw_jpeg(np.random.default_rng(0), fake=True)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
BMP = b"BM" + bytes(16) + struct.pack("<iiHH", 4, 4, 1, 8) + bytes(100)
PNG = tf.io.encode_png(PIXELS).numpy()


def test_what_is_decoded_is_what_training_sees():
    np.testing.assert_array_equal(read_image(JPEG, Limits()), decoding.decode_image(JPEG))
    np.testing.assert_array_equal(read_image(PNG, Limits()), PIXELS)


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
    with pytest.raises(Refused, match=text) as refused:
        read_image(data, Limits())
    assert refused.value.status == status


def test_limits_are_heeded_to_the_pixel_and_byte():
    assert read_image(PNG, Limits(max_pixels=600, max_bytes=len(PNG))).shape == (20, 30, 3)
    for limits in (Limits(max_pixels=599), Limits(max_bytes=len(PNG) - 1)):
        with pytest.raises(Refused):
            read_image(PNG, limits)


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "")])
def test_no_memory_is_a_refusal(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(decoding, "decode_image", fail)
    with pytest.raises(Refused, match="no memory") as refused:
        read_image(PNG, Limits())
    assert refused.value.status == 413
