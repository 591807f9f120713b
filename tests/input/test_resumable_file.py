"""A file is resumed if its note and its bytes agree, and else written from the start."""

import json
import resource

import pytest

from dftk.input.resumable_file import ResumableFile


def resumable(folder, plan="tens"):
    return ResumableFile(folder / "file", folder / "note", 30, plan)


def piece(number):
    return memoryview(bytes([number]) * 10)


@pytest.fixture
def begun(tmp_path):
    """A folder with two of three pieces."""
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path) as file:
        file.append(piece(1))
        file.append(piece(2))
        raise KeyboardInterrupt
    return tmp_path


def test_a_file_is_resumed(begun):
    with resumable(begun) as file:
        assert (file.count, file.bytes) == (2, 20)
        before = file.seconds
        file.append(piece(3))
    assert file.seconds > before > 0
    assert (begun / "file").read_bytes() == bytes([1] * 10 + [2] * 10 + [3] * 10)


def test_pieces_after_the_last_note_are_written_again(tmp_path):
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path) as file:
        file.append(piece(1))
        raise KeyboardInterrupt
    note = (tmp_path / "note").read_bytes()
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path) as file:
        file.append(piece(9))
        raise KeyboardInterrupt
    (tmp_path / "note").write_bytes(note)  # as when it was killed before the next
    with resumable(tmp_path) as file:
        assert file.count == 1
        file.append(piece(2))
        file.append(piece(3))
    assert (tmp_path / "file").read_bytes() == bytes([1] * 10 + [2] * 10 + [3] * 10)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "file").write_bytes(b"another"),
        lambda folder: (folder / "file").unlink(),
        lambda folder: (folder / "note").unlink(),
        lambda folder: (folder / "note").write_text("{"),
        lambda folder: (folder / "note").write_text("[]"),
        lambda folder: (folder / "note").write_text(json.dumps({"plan": "tens", "count": 2})),
    ],
    ids=["bytes", "no file", "no note", "no JSON", "a list", "half a note"],
)
def test_a_file_that_disagrees_with_its_note_is_written_from_the_start(begun, damage):
    damage(begun)
    with (
        pytest.raises(RuntimeError, match="file ends after 0 of 30 bytes"),
        resumable(begun) as file,
    ):
        assert (file.count, file.bytes, file.seconds) == (0, 0, 0)


def test_another_plan_starts_again(begun):
    file = resumable(begun, "fifteens")
    with pytest.raises(RuntimeError, match="file ends after 0 of 30 bytes"), file:
        assert file.count == 0


def test_notes_are_written_at_intervals(tmp_path, monkeypatch):
    monkeypatch.setattr(ResumableFile, "interval", 0)
    with (
        pytest.raises(RuntimeError, match="file ends after 10 of 30 bytes"),
        resumable(tmp_path) as file,
    ):
        file.append(piece(1))
        assert json.loads((tmp_path / "note").read_text())["count"] == 1


def test_a_full_disk_gets_its_space_back(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"), resumable(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (tmp_path / "file").stat().st_size == 0
