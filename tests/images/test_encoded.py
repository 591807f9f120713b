import io
import os

import numpy as np
import pytest
from PIL import Image
from shard_files import cut_last_record

from dftk.images import encoded
from dftk.utils.errors import UserError


def save(path, size=(20, 30), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "real" / "a.jpg")
    save(tmp_path / "real" / "deep" / "er" / "b.PNG")
    save(tmp_path / "fake" / "gan" / "c.jpeg", (40, 40))
    (tmp_path / "fake" / "empty.jpg").write_bytes(b"")
    (tmp_path / "fake" / "cut.jpg").write_bytes((tmp_path / "real" / "a.jpg").read_bytes()[:300])
    (tmp_path / "fake" / "d.webp").write_bytes(b"RIFF")
    (tmp_path / "fake" / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "real" / "notes").write_text("no image")
    save(tmp_path / "real" / ".cache" / "z.jpg")
    return tmp_path


def test_images_are_found_at_any_depth_and_labelled_by_their_folder(folder):
    found = encoded.find(folder)
    assert [(path.relative_to(folder).as_posix(), label) for path, label in found.files] == [
        ("real/a.jpg", 0),
        ("real/deep/er/b.PNG", 0),
        ("fake/cut.jpg", 1),
        ("fake/empty.jpg", 1),
        ("fake/gan/c.jpeg", 1),
    ]
    assert found.ignored == {".webp": 1, "no suffix": 1}


def test_broken_files_say_why_and_keep_their_place(folder):
    files = list(encoded.decoded(encoded.find(folder).read()))
    assert {f.encoded.filename: f.error for f in files if f.error} == {
        "fake/cut.jpg": "not a readable JPEG, PNG, GIF or BMP image",
        "fake/empty.jpg": "empty file",
    }
    assert files[0].image.shape == (20, 30, 3)
    np.testing.assert_array_equal(files[1].image, Image.open(folder / "real/deep/er/b.PNG"))


def test_a_file_that_went_away_is_an_error_of_its_own(folder):
    found = encoded.find(folder)
    (folder / "real" / "a.jpg").unlink()
    assert next(found.read()).error == "No such file or directory"


def test_names_that_are_no_text_can_be_written_down(tmp_path):
    (tmp_path / "real").mkdir()
    for name in (b"\xff.jpg", b"\xfe.jpg", "ü.jpg".encode()):
        with open(os.path.join(os.fsencode(tmp_path), b"real", name), "wb") as file:
            file.write(b"x")
    names = {image.filename for image in encoded.find(tmp_path).read()}
    assert names == {r"real/\xff.jpg", r"real/\xfe.jpg", "real/ü.jpg"}


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("gone", "no such directory"),
        ("real", "no real/ or fake/ in it; sort the images"),
        ("kaggle", "kaggle/valid has them: give that"),
        ("bare", "no .jpg, .jpeg, .png, .bmp, .gif file in its real/ and fake/"),
    ],
)
def test_a_directory_that_is_no_test_set_is_one_line(folder, below, message):
    save(folder / "kaggle" / "valid" / "real" / "x.jpg")
    (folder / "bare" / "fake").mkdir(parents=True)
    with pytest.raises(UserError, match=message) as error:
        encoded.find(folder / below)
    assert str(error.value).startswith(f"test set {folder / below}: ")
    assert "\n" not in str(error.value)


def test_records_come_in_the_order_of_their_shards(dataset, examples):
    found = list(encoded.from_shards(dataset.train))
    assert [item.filename for item in found] == list(examples.filenames)
    assert [item.label for item in found] == list(examples.labels)
    assert [item.fold for item in found] == list(examples.folds)
    (first,) = examples.fetch(np.array([0])).numpy()
    np.testing.assert_array_equal(encoded.decode(found[0]).image, first)


def test_groups_are_of_one_size_and_bounded():
    def image(number):
        size = (8, 8 + number % 2, 3)
        return encoded.Decoded(encoded.Encoded(str(number), 0, -1, b""), np.zeros(size, np.uint8))

    lost = encoded.Decoded(encoded.Encoded("lost", 0, -1, b""), None, "empty file")
    groups = list(encoded.groups([lost, *map(image, range(70))]))
    assert {len(items) for items, _ in groups} == {16, 3}
    for items, pixels in groups:
        numbers = [int(item.filename) for item in items]
        assert numbers == sorted(numbers)
        assert {number % 2 for number in numbers} == {pixels.shape[2] - 8}
    assert sorted(int(i.filename) for items, _ in groups for i in items) == list(range(70))


def test_few_large_images_are_decoded_at_a_time(monkeypatch):
    """A blank PNG of 2 megapixels has 6 kB; so many cores would hold all of them at once."""
    monkeypatch.setattr(encoded.limits, "cores", lambda: 16)
    monkeypatch.setattr(encoded, "_AHEAD_BYTES", 3 * 3 * 1400 * 1400)
    file = io.BytesIO()
    Image.new("RGB", (1400, 1400)).save(file, "PNG")
    taken = []

    def images():
        for index in range(12):
            taken.append(index)
            yield encoded.Encoded(str(index), 0, -1, file.getvalue())

    for position, image in enumerate(encoded.decoded(images())):
        assert image.image.shape == (1400, 1400, 3)
        assert len(taken) - position <= 4, "three, and the one that waits"


def test_large_images_make_small_groups():
    large = np.zeros((4096, 2048, 3), np.uint8)  # half of what a group may have
    images = [encoded.Decoded(encoded.Encoded(str(i), 0, -1, b""), large) for i in range(5)]
    assert [len(items) for items, _ in encoded.groups(images)] == [2, 2, 1]


def test_a_shard_cut_at_a_record_boundary_is_counted(copy):
    opened = copy()
    with pytest.raises(UserError, match=cut_last_record(opened.valid[1])):
        list(encoded.from_shards(opened.valid))
