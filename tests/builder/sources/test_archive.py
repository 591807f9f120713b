"""Archives as people have them open and read; hostile and damaged ones are refused in one line."""

import gc
import random
import stat
import struct
import sys
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfds_rvf10k.sources import archive

MIB = 2**20


@pytest.fixture
def write(tmp_path):
    """Writes {name or ZipInfo: bytes} as a zip; returns its path."""

    def written(entries, name="a.zip", method=zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / name, "w", method) as target:
            for entry, data in entries:
                target.writestr(entry, data)
        return str(tmp_path / name)

    return written


def refusal(path):
    with pytest.raises(ValueError, match=r"^[^\n]+\Z") as caught:
        archive.open_archive(path)
    assert str(caught.value).startswith(path)
    return str(caught.value)


def entry(name, mode=0, method=zipfile.ZIP_DEFLATED):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = method
    return info


def patched(path, field, value, which=0):
    """Sets a field of the central directory's entry number `which`, and of its local header."""
    places = {"flags": (8, 6, "<H"), "crc": (16, 14, "<I"), "packed": (20, 18, "<I")}
    places |= {"size": (24, 22, "<I"), "method": (10, 8, "<H"), "offset": (42, None, "<I")}
    central, local, form = places[field]
    data = bytearray(Path(path).read_bytes())
    start = -1
    for _ in range(which + 1):
        start = data.index(b"PK\1\2", start + 1)
    (header,) = struct.unpack_from("<I", data, start + 42)
    struct.pack_into(form, data, start + central, value)
    if local is not None:
        struct.pack_into(form, data, header + local, value)
    Path(path).write_bytes(data)
    return path


def test_ordinary_archives_open_and_read(write):
    names = [
        "rvf10k/",
        "rvf10k/train/é\n☃.jpg",
        "__MACOSX/._x",
        "Thumbs.db",
        "a..b/..c.jpg",
        "xy:z",
    ]
    entries = [(entry(name, stat.S_IFREG | 0o644), name.encode()) for name in names[1:]]
    path = write([(entry(names[0], stat.S_IFDIR | 0o755), b""), *entries, ("empty.csv", b"")])
    with archive.open_archive(path) as opened:
        assert opened.namelist() == [*names, "empty.csv"]
        for name in names[1:]:
            assert archive.read_entry(opened, name, 100) == name.encode()
        assert archive.read_entry(opened, "empty.csv", 0) == b""


def test_stored_zip64_and_prefixed_archives_open(write, tmp_path):
    path = write([("a.jpg", b"abc")], method=zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "a") as target, target.open("b", "w", force_zip64=True) as stream:
        stream.write(b"def")
    (tmp_path / "sfx.zip").write_bytes(b"#!/bin/sh\n" * 50 + Path(path).read_bytes())
    for name in ("a.zip", "sfx.zip"):
        with archive.open_archive(str(tmp_path / name)) as opened:
            assert archive.read_entry(opened, "b", 3) == b"def"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "C:x", "c:/x", "a\\b", "../x", "a/../../x", "a/.."]
)
def test_names_that_leave_are_refused(write, name):
    path = write([("ok.jpg", b""), (name, b"x"), ("../y", b"x"), ("/z", b"x")])
    message = refusal(path)
    assert (
        f"entry {name!r} has a name that leads out of the archive (also refused: 2 more)" in message
    )
    assert "download the archive again from where you trust" in message


def test_a_name_with_a_nul_is_refused(write):
    path = write([("a.jpgQ.exe", b"x")])
    data = Path(path).read_bytes().replace(b"a.jpgQ.exe", b"a.jpg\0.exe")
    Path(path).write_bytes(data)
    assert "leads out" in refusal(path)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_links_and_devices_are_refused(write, mode):
    message = refusal(write([(entry("real", mode | 0o777), b"/etc")]))
    assert "entry 'real' is a link or a device; " in message


def test_encrypted_and_rarely_compressed_entries_are_refused(write):
    path = write([("a", b"x"), ("b", b"x")])
    assert "entry 'b' is encrypted" in refusal(patched(path, "flags", 1, which=1))
    assert "compressed by method 9, neither" in refusal(patched(path, "method", 9))
    path = write([("c", b"x" * 10**6)], method=zipfile.ZIP_LZMA)
    assert "compressed by method 14, neither" in refusal(path)


def test_two_entries_of_a_name_are_refused(write):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write([("a", b"1"), ("b", b"2"), ("a", b"3")])
    assert "entry 'a' is there 2 times (also refused: 1 more)" in refusal(path)


def test_overlapping_entries_are_refused(write):
    # Each file name quotes the same kernel, as in Fifield's bomb: the later one lies in the first.
    path = write([("a", random.Random(0).randbytes(200)), ("b", b"y"), ("c", b"z")])
    assert "entry 'b' shares its bytes with another" in refusal(patched(path, "offset", 0, which=1))
    path = write([("a", b"x"), ("b", b"y")])
    assert "entry 'a' shares its bytes" in refusal(patched(path, "packed", 60))
    path = write([("only", b"x")])
    assert "entry 'only' shares" in refusal(patched(path, "packed", 10**6))


def test_declared_bombs_are_refused(write):
    path = write([("big", b"x")])
    with archive.open_archive(patched(path, "size", MIB)):
        pass  # small enough to read whatever its ratio
    assert f"declares {MIB + 1} bytes in 3, as in" in refusal(patched(path, "size", MIB + 1))
    declared = archive.MAX_ENTRY_BYTES + 1
    assert f"declares {declared} bytes, more than" in refusal(patched(path, "size", declared))
    assert "declares 2097152 bytes in 2" in refusal(write([("zeros", bytes(2 * MIB))]))


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_what_is_no_zip_is_refused(write, tmp_path, keep):
    data = Path(write([("a" * 50, b"x" * 50)] * 1)).read_bytes()
    cut = data[: int(len(data) * keep)] if isinstance(keep, float) else data[:keep]
    (tmp_path / "cut.zip").write_bytes(cut)
    assert "not a zip archive, or not all of one" in refusal(str(tmp_path / "cut.zip"))


def test_a_missing_archive_is_an_os_error_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.zip"):
        archive.open_archive(str(tmp_path / "none.zip"))


def test_the_limit_holds(write):
    with archive.open_archive(write([("a", b"x" * 100)])) as opened:
        assert len(archive.read_entry(opened, "a", 100)) == 100
        with pytest.raises(
            ValueError, match=r"a\.zip: entry 'a' has 100 bytes, more than 99; take"
        ):
            archive.read_entry(opened, "a", 99)
        with pytest.raises(KeyError):
            archive.read_entry(opened, "b", 99)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("forge_crc", [False, True])
def test_more_bytes_than_declared_are_refused(write, method, forge_crc):
    data = random.Random(1).randbytes(1000)
    path = patched(write([("a", data)], method=method), "size", 400)
    if forge_crc:  # of what zipfile alone would return as the whole entry
        patched(path, "crc", zlib.crc32(data[:400]))
        assert zipfile.ZipFile(path).read("a") == data[:400]
    with (
        archive.open_archive(path) as opened,
        pytest.raises(ValueError, match="entry 'a' is damag"),
    ):
        archive.read_entry(opened, "a", 10**4)


def test_fewer_bytes_than_declared_are_refused(write):
    path = patched(write([("a", b"abcd")]), "size", 5)
    message = "'a' holds 4 bytes and declares 5; download the arch"
    with archive.open_archive(path) as opened, pytest.raises(ValueError, match=message):
        archive.read_entry(opened, "a", 10)


def test_damaged_data_are_refused_in_one_line(write):
    whole = Path(write([("one\ntwo.jpg", b"faces and faces " * 20)])).read_bytes()
    start = whole.index(b"two.jpg") + 7
    message = r"^.*a\.zip: entry 'one\\ntwo.jpg' [^\n]+again\Z"
    for position in range(start, whole.index(b"PK\1\2")):
        path = write([])
        Path(path).write_bytes(
            whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :]
        )
        with archive.open_archive(path) as opened, pytest.raises(ValueError, match=message):
            archive.read_entry(opened, "one\ntwo.jpg", 10**4)


def test_mutated_archives_raise_nothing_but_value_errors(write):
    whole = Path(write([(f"é/{i}.jpg", bytes(range(256)) * 8) for i in range(3)])).read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 4))):
            data[rng.randrange(-250, 0)] = rng.randrange(256)
        path = write([], "mutated.zip")
        Path(path).write_bytes(data)
        try:
            with archive.open_archive(path) as opened:
                for name in opened.namelist():
                    archive.read_entry(opened, name, 10**4)
        except ValueError:
            refused += 1
    assert 100 < refused < 400


def test_threads_share_one_archive(write):
    rng = random.Random(2)
    contents = {f"{index}.jpg": rng.randbytes(rng.randrange(1, 9000)) for index in range(60)}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # else threads hardly meet
    try:
        with archive.open_archive(write(contents.items())) as opened, ThreadPoolExecutor(8) as pool:
            names = list(contents) * 20
            rng.shuffle(names)
            read = pool.map(lambda name: archive.read_entry(opened, name, 9000), names)
            assert all(data == contents[name] for name, data in zip(names, read))
            assert archive.read_entry(opened, "0.jpg", 9000) == contents["0.jpg"]
    finally:
        sys.setswitchinterval(interval)


def test_the_check_of_100_000_entries_is_little_beside_reading_their_names(tmp_path):
    path = str(tmp_path / "many.zip")
    with zipfile.ZipFile(path, "w") as target:
        for index in range(100_000):
            target.writestr(zipfile.ZipInfo(f"rvf10k/train/real/{index:06d}.jpg"), b"")
    bare, checked = [], []
    gc.disable()  # as timeit does: else it walks all that other tests left, now and then
    try:
        for _ in range(3):
            began = time.process_time()  # other tests run beside this one
            zipfile.ZipFile(path).close()
            opened = time.process_time()
            archive.open_archive(path).close()
            bare.append(opened - began)
            checked.append(time.process_time() - opened)
    finally:
        gc.enable()
    assert min(checked) < 3 * min(bare)  # 0.5 s against 0.4 s on an idle core
