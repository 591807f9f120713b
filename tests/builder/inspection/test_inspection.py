import io

from images import BAD, JPEG, encoded, picture, turned
from PIL import Image

from tfds_rvf10k.inspection import inspection
from tfds_rvf10k.inspection.inspection import InspectedImage, Inspection
from tfds_rvf10k.sources.source import Source


def inspect(tmp_path, files, **options):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return Inspection(Source(str(tmp_path)), **options)(list(files))


def test_each_bad_file_has_its_line_and_the_others_are_sound(tmp_path):
    good = {"good.jpg": JPEG, "upright.jpg": encoded(picture(), **turned(1))}
    found = inspect(tmp_path, {**{name: data for name, (data, _) in BAD.items()}, **good})
    for (name, (_, words)), item in zip(BAD.items(), found):
        assert item.filename == name
        assert item.what.startswith(words), name
        assert item.remedy
    assert all(isinstance(item, InspectedImage) for item in found[len(BAD) :])
    assert found[-1].size == (32, 40)


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    (item,) = Inspection(Source(str(tmp_path)))(["no.jpg"])
    assert item.what.startswith("is not there")


def test_an_eighth_refuses_what_the_whole_refuses(tmp_path):
    """At every length: the cheap decoding that checks files misses nothing."""
    files = {f"{n:04d}.jpg": JPEG[:n] for n in range(len(JPEG) - 120, len(JPEG) + 1)}
    kinds = [
        [isinstance(item, InspectedImage) for item in inspect(tmp_path, files, scale=scale)]
        for scale in (8, 1)
    ]
    assert kinds[0] == kinds[1]
    assert kinds[0].count(True) == 1


def test_equal_pixels_in_other_bytes_have_one_picture(tmp_path):
    files = {
        "a.jpg": encoded(picture()),
        "b.jpg": encoded(picture(), optimize=True),
        "c.jpg": encoded(picture(1)),
    }
    a, b, c = inspect(tmp_path, files)
    assert a.sha256 != b.sha256
    assert a.pixel_digest == b.pixel_digest != c.pixel_digest
    source = Source(str(tmp_path))
    assert inspection.same_pixels(source, list(files), 10**6) == [["a.jpg", "b.jpg"], ["c.jpg"]]


def test_scale_one_compares_across_formats(tmp_path):
    decoded = Image.open(io.BytesIO(JPEG))
    a, b = inspect(tmp_path, {"a.jpg": JPEG, "b.png": encoded(decoded, "PNG")}, scale=1)
    assert a.pixel_digest == b.pixel_digest


def test_perceptual_hashes_on_demand(tmp_path):
    found = inspect(tmp_path, {"a.jpg": JPEG}, scale=1, perceptual=True)
    assert inspection.perceptual_hashes(found).shape == (1, 32)
    assert found[0].perceptual != bytes(32)
    known = Inspection(Source(str(tmp_path)), scale=1, perceptual=True).digests([JPEG])
    assert (known[0].sha256, known[0].perceptual) == (found[0].sha256, found[0].perceptual)


def test_exif_that_says_nothing_readable_is_as_none(tmp_path):
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x0b\0\x01\0\0\0\0\0\x80\x7f\0\0\0\0"  # a float, inf
    )
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    files = {"inf.jpg": JPEG[:2] + segment + JPEG[2:], "cut.jpg": JPEG[:2] + segment[:9] + JPEG[2:]}
    found = inspect(tmp_path, files)
    assert isinstance(found[0], InspectedImage)
    assert found[1].what.startswith(("its header is truncated", "truncated or damaged"))


def test_large_pictures_are_decoded_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "_BATCH_PIXELS", 3000)  # of 1,280 each
    sizes = []
    real = inspection._decoder

    def counting(scale):
        decode = real(scale)
        return lambda contents: sizes.append(len(contents)) or decode(contents)

    monkeypatch.setattr(inspection, "_decoder", counting)
    found = inspect(tmp_path, {f"{i}.jpg": encoded(picture(i)) for i in range(5)}, scale=1)
    assert all(isinstance(item, InspectedImage) for item in found)
    assert sizes == [2, 2, 1]


def test_what_was_sound_once_may_be_damaged_now(tmp_path):
    known = Inspection(Source(str(tmp_path))).digests([JPEG, JPEG[:-40], b"", JPEG])
    assert [item is None for item in known] == [False, True, True, False]
