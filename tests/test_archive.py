"""Archives made to harm, and sound ones; each refusal is one line with a remedy."""

import concurrent.futures
import io
import stat
import struct
import zipfile

import pytest

from tfds_rvf10k import archive


def make(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return str(path)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert ";" in text
    return text


def test_a_sound_archive_with_odd_names_is_read(tmp_path):
    entries = {"a/é\n顔.jpg": b"1", "__MACOSX/._a": b"", "a..b/c.jpg": b"23"}
    opened = archive.open_archive(make(tmp_path / "a.zip", entries))
    for name, data in entries.items():
        assert archive.read_entry(opened, name, 2) == data


@pytest.mark.parametrize(
    "name", ["../x.jpg", "a/../../x.jpg", "/x.jpg", "C:/x.jpg", "a\\..\\x.jpg"]
)
def test_names_that_lead_out_are_refused(name, tmp_path):
    path = make(tmp_path / "a.zip", {"ok.jpg": b"", name: b"1", name + "2": b"1"})
    with pytest.raises(ValueError, match=r"leads out of the archive \(1 more entries") as error:
        archive.open_archive(path)
    assert one_line(error).startswith(f"{path}: entry ")


def test_links_devices_and_second_copies_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ValueError, match="is a link or a device") as error:
        archive.open_archive(make(tmp_path / "a.zip", {link: b"/etc/passwd"}))
    one_line(error)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr("x.jpg", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("x.jpg", b"2")
    with pytest.raises(ValueError, match="is there 2 times"):
        archive.open_archive(str(tmp_path / "b.zip"))


def test_bombs_are_refused_by_what_they_declare(tmp_path):
    path = make(tmp_path / "a.zip", {"x.jpg": bytes(3 * 2**20)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="declares 3145728 bytes in .* zip bomb") as error:
        archive.open_archive(path)
    one_line(error)


def test_entries_that_share_bytes_are_refused(tmp_path):
    """Two entries of the directory point to one place: Fifield's bomb in small."""
    path = tmp_path / "a.zip"
    make(path, {"a.jpg": b"x" * 50, "b.jpg": b"x" * 50})
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, second + 42, 0)  # its local header: that of the first
    path.write_bytes(data)
    with pytest.raises(ValueError, match="shares its bytes with another entry"):
        archive.open_archive(str(path))


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
def test_what_is_no_zip_is_refused(damage, tmp_path):
    path = tmp_path / "a.zip"
    make(path, {"a.jpg": b"x" * 500})
    data = {"text": b"hello", "cut": path.read_bytes()[:-30], "empty": b""}[damage]
    path.write_bytes(data)
    with pytest.raises(ValueError, match="not a zip archive, or not all of one") as error:
        archive.open_archive(str(path))
    one_line(error)


def test_encrypted_and_rare_methods_are_refused(tmp_path):
    path = make(tmp_path / "a.zip", {"a.jpg": b"x" * 500}, compression=zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match="compressed by method 14"):
        archive.open_archive(path)
    path = tmp_path / "b.zip"
    make(path, {"a.jpg": b"x" * 500})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is encrypted"):
        archive.open_archive(str(path))


def test_a_damaged_entry_and_one_that_lies_are_named(tmp_path):
    path = tmp_path / "a.zip"
    noise = bytes(range(256)) * 4
    make(path, {"a.jpg": noise, "b.jpg": noise})
    data = bytearray(path.read_bytes())
    data[data.index(b"b.jpg") + 100] ^= 1
    path.write_bytes(data)
    opened = archive.open_archive(str(path))
    assert archive.read_entry(opened, "a.jpg", 2000) == noise
    with pytest.raises(ValueError, match=r"entry 'b.jpg' is damaged \(Bad CRC") as error:
        archive.read_entry(opened, "b.jpg", 2000)
    one_line(error)
    with pytest.raises(ValueError, match="has 1024 bytes, more than 1000"):
        archive.read_entry(opened, "a.jpg", 1000)


def test_an_entry_that_holds_more_than_it_declares_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    make(path, {"a.jpg": b"x" * 500}, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 100)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged|holds"):
        archive.read_entry(archive.open_archive(str(path)), "a.jpg", 2000)


def test_threads_share_one_archive(tmp_path):
    entries = {f"{i}.jpg": bytes([i]) * 5000 for i in range(200)}
    path = make(tmp_path / "a.zip", entries, compression=zipfile.ZIP_DEFLATED)
    opened = archive.open_archive(path)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda name: archive.read_entry(opened, name, 10**4), entries)
        assert list(read) == list(entries.values())


def test_twenty_thousand_entries_are_checked_in_a_moment(tmp_path):
    import time

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for index in range(20_000):
            made.writestr(f"train/real/{index}.jpg", b"")
    (tmp_path / "a.zip").write_bytes(file.getvalue())
    started = time.perf_counter()
    archive.open_archive(str(tmp_path / "a.zip"))
    assert time.perf_counter() - started < 3  # measured: 0.2 s
