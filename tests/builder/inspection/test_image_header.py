import io
import struct

import numpy as np
import pytest
from PIL import Image

from tfds_rvf10k.inspection import image_header


def encoded(kind, mode="RGB", size=(50, 40), **options):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise.squeeze(), mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("GIF", {})],
)
def test_the_header_says_how_many_pixels(kind, options):
    assert image_header.pixels(encoded(kind, **options)) == 50 * 40


def test_a_bmp_from_top_to_bottom_has_a_negative_height():
    data = bytearray(encoded("BMP"))
    struct.pack_into("<i", data, 22, -40)
    assert image_header.pixels(bytes(data)) == 50 * 40


def test_all_frames_of_a_gif_count_for_all_are_unpacked():
    frames = [Image.new("RGB", (30, 20), (i * 40, 0, 9)) for i in range(5)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], optimize=False)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        assert image.n_frames == 5
    # Pillow stores of a later frame only what changed, which here is all of it.
    assert image_header.pixels(file.getvalue()) == 5 * 30 * 20


def gif(*frames):
    """A GIF of 1 x 1 with blank frames of the given sizes; each its descriptor and no pixels."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    return head + b"".join(
        struct.pack("<BHHHHB", 0x2C, 0, 0, *size, 0) + b"\x02\0" for size in frames
    ) + b";"  # fmt: skip


def test_a_gif_is_as_wide_as_its_widest_frame_and_as_high_as_its_highest():
    """TensorFlow makes one image of both: 400 bytes took 432 MB."""
    assert image_header.pixels(gif((12_000, 1), (1, 12_000))) == 12_000**2
    assert image_header.pixels(gif((30, 20), (30, 20), (5, 5))) == 2 * 30 * 20 + 25
    assert image_header.pixels(gif()) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_a_header_that_is_cut_is_an_error_or_still_says_the_size(kind):
    data = encoded(kind)
    outcomes = set()
    for length in range(0, 200, 3):
        try:
            outcomes.add(image_header.pixels(data[:length]))
        except ValueError:
            outcomes.add(None)
    assert outcomes == {None, 50 * 40}


def test_other_files_are_refused():
    for data in (b"", b"hello, not an image", encoded("TIFF"), encoded("WEBP")):
        with pytest.raises(ValueError, match="not a JPEG"):
            image_header.pixels(data)


@pytest.mark.parametrize(("mode", "bits"), [("P", 8), ("L", 8), ("1", 1)])
def test_a_bmp_with_a_palette_is_refused_for_it_would_be_another_picture(mode, bits):
    file = io.BytesIO()
    Image.new("RGB", (50, 40), "red").convert(mode).save(file, "BMP")
    message = f"a BMP of {bits} bits per pixel, not of 24 or 32; save it as PNG"
    with pytest.raises(image_header.Unsupported, match=message):
        image_header.pixels(file.getvalue())
    assert image_header.pixels(encoded("BMP", "RGBA")) == 50 * 40
