import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.input import decoding

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
# As tf.data and exported models decode.
IN_A_GRAPH = tf.function(decoding.decode_image, input_signature=[tf.TensorSpec([], tf.string)])
BOTH = pytest.mark.parametrize(
    "decode", [decoding.decode_image, IN_A_GRAPH], ids=["eager", "graph"]
)


def file(kind, mode="RGB", **options):
    saved = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(saved, kind, **options)
    return saved.getvalue()


@BOTH
@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("BMP", "RGB"),
     ("GIF", "P")],
)  # fmt: skip
def test_pixels_are_those_of_another_decoder(decode, kind, mode):
    data = file(kind, mode)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(decode(data), expected)


@BOTH
def test_alpha_is_dropped_not_blended(decode):
    saved = io.BytesIO()
    Image.new("RGBA", (2, 2), (200, 10, 30, 0)).save(saved, "PNG")
    assert decode(saved.getvalue()).numpy()[0, 0].tolist() == [200, 10, 30]


@BOTH
def test_an_animated_gif_is_its_first_frame(decode):
    red = Image.new("RGB", (9, 9), (255, 0, 0))
    data = file("GIF", save_all=True, append_images=[red.resize((50, 40))])
    assert decode(data).shape == (40, 50, 3)
    assert decode(data).numpy()[..., 1].any()


@BOTH
@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"BM", b"\xff\xd8", b"\xff\xd8\xff", file("JPEG")[:700], file("PNG")[:700],
     file("BMP")[:700]],
)  # fmt: skip
def test_damaged_files_raise(decode, data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(data)


@BOTH
def test_a_bmp_with_a_palette_raises_where_tensorflow_would_give_wrong_pixels(decode):
    data = file("BMP", "P")
    wrong = tf.io.decode_image(data, channels=3)
    assert (wrong != np.array(Image.open(io.BytesIO(data)).convert("RGB"))).numpy().any()
    with pytest.raises(tf.errors.InvalidArgumentError, match="bits per pixel"):
        decode(data)
