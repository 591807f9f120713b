import io

import numpy as np
import pytest
from PIL import Image

from dftk.evaluation.checks import file_features
from dftk.images import encoded

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def stored(kind="JPEG", pixels=PIXELS, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return encoded.decode(encoded.Encoded("x", 0, -1, file.getvalue()))


def features(kind="JPEG", pixels=PIXELS, **options):
    return file_features.features(stored(kind, pixels, **options))


def changed(first, second):
    """Groups that differ."""
    return {group for group in first if first[group] != second[group]}


def test_size_and_dimensions():
    decoded = stored()
    found = file_features.features(decoded)
    assert found["file size"]["bytes"] == len(decoded.encoded.data)
    assert found["dimensions"] == {"width": 32, "height": 24, "ratio": 32 / 24}


def test_quantisation_tables_are_those_of_the_quality():
    found = features(quality=50)["JPEG quantisation"]
    assert found["tables"] == 2
    # At quality 50 a table is the one of the JPEG standard's annex K.
    assert [found[f"table 0 at {i}"] for i in range(4)] == [16, 11, 10, 16]
    assert [found[f"table 1 at {i}"] for i in range(2)] == [17, 18]


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({"progressive": True}, {"encoding"}),
        ({"subsampling": "4:4:4"}, {"encoding"}),
        ({"comment": b"made by a machine"}, {"metadata"}),
        ({"exif": b"Exif\0\0" + b"x" * 20}, {"metadata"}),
        ({"icc_profile": b"x" * 100}, {"metadata"}),
        ({"dpi": (300, 300)}, {"metadata"}),
        ({"quality": 60}, {"JPEG quantisation"}),
    ],
)
def test_what_a_writer_does_is_seen_in_its_group(options, groups):
    found = changed(features(), features(**options)) - {"file size", "mean colour", "contrast"}
    assert found == groups


def test_colour_is_of_the_pixels():
    found = features("PNG")
    assert list(found["mean colour"].values()) == pytest.approx(PIXELS.mean(axis=(0, 1)))
    assert list(found["contrast"].values()) == pytest.approx(PIXELS.std(axis=(0, 1)))


def test_all_kinds_have_the_same_names():
    names = [{(g, n) for g, values in features(kind).items() for n in values}
             for kind in ("JPEG", "PNG", "GIF", "BMP")]  # fmt: skip
    assert names[0] == names[1] == names[2] == names[3]
    grey = features(pixels=PIXELS[..., 0])
    assert grey["encoding"]["channels"] == 1
    assert grey["JPEG quantisation"]["tables"] == 1


def test_what_cannot_be_decoded_is_not_readable():
    data = stored().encoded.data
    assert file_features.readable(stored())
    assert not file_features.readable(encoded.decode(encoded.Encoded("x", 0, -1, data[:200])))
    assert not file_features.readable(encoded.decode(encoded.Encoded("x", 0, -1, b"", "empty")))
