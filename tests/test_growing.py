"""A file goes on where its note and its bytes agree, and else from the start."""

import json

import pytest

from dftk.training.growing import Growing


def grow(folder, plan="tens"):
    return Growing(folder / "file", folder / "note", 30, plan)


def piece(number):
    return memoryview(bytes([number]) * 10)


@pytest.fixture
def begun(tmp_path):
    """Two pieces of three, and where they are."""
    with grow(tmp_path) as file:
        file.append(piece(1))
        file.append(piece(2))
    return tmp_path


def test_a_file_that_was_left_goes_on(begun):
    with grow(begun) as file:
        assert (file.count, file.bytes) == (2, 20)
        before = file.seconds
        file.append(piece(3))
    assert file.seconds > before > 0
    assert (begun / "file").read_bytes() == bytes([1] * 10 + [2] * 10 + [3] * 10)


def test_what_came_after_the_last_note_is_written_again(tmp_path):
    with grow(tmp_path) as file:
        file.append(piece(1))
    note = (tmp_path / "note").read_bytes()
    with grow(tmp_path) as file:
        file.append(piece(9))
    (tmp_path / "note").write_bytes(note)  # as when it was killed before the next
    with grow(tmp_path) as file:
        assert file.count == 1


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
def test_what_does_not_agree_is_written_from_the_start(begun, damage):
    damage(begun)
    with grow(begun) as file:
        assert (file.count, file.bytes, file.seconds) == (0, 0, 0)


def test_another_plan_begins_anew(begun):
    with grow(begun, "fifteens") as file:
        assert file.count == 0


def test_a_note_is_written_now_and_then_too(tmp_path, monkeypatch):
    monkeypatch.setattr(Growing, "interval", 0)
    with grow(tmp_path) as file:
        file.append(piece(1))
        assert json.loads((tmp_path / "note").read_text())["count"] == 1
