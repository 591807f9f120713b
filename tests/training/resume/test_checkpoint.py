import errno
import json
import os
import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from repository import ROOT

from dftk.training.resume.checkpoint import Checkpoints
from dftk.utils.errors import UserError

RNG = np.random.default_rng(0)


def arrays(seed, count=3):
    rng = np.random.default_rng(seed)
    return [rng.random((4, 5), np.float32), np.int64(seed), *rng.random((count, 2))]


def save(checkpoints, seed, best=None):
    checkpoints.save({"epoch": seed}, {"model": arrays(seed), "optimizer": arrays(-seed % 9)}, best)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoint"


def test_nothing_saved_is_nothing_to_go_on_from(folder):
    assert Checkpoints(folder).load() is None


def test_a_state_comes_back_bit_by_bit(folder):
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, best=arrays(7))
    checkpoints.wait()
    record, variables, best = Checkpoints(folder).load()
    assert record["epoch"] == 1
    for name, expected in (("model", arrays(1)), ("optimizer", arrays(8))):
        assert [np.asarray(a).tobytes() for a in variables[name]] == [
            np.asarray(a).tobytes() for a in expected
        ]
    assert [np.asarray(a).tobytes() for a in best] == [np.asarray(a).tobytes() for a in arrays(7)]


def test_more_than_ten_arrays_keep_their_order(folder):
    checkpoints = Checkpoints(folder)
    many = [np.array(i) for i in range(25)]
    checkpoints.save({}, {"model": many}, many)
    checkpoints.wait()
    assert [int(a) for a in Checkpoints(folder).load()[1]["model"]] == list(range(25))


def test_a_state_holds_the_arrays_that_were_given_and_nothing_else(folder):
    """Before NumPy 2.1, `savez(allow_pickle=False)` stored an array of that name."""
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, best=arrays(7))
    checkpoints.wait()
    with np.load(folder / "state-000001.npz", allow_pickle=False) as file:
        groups = {name.split("/")[0] for name in file.files}
    assert groups == {"model", "optimizer", "record"}
    assert list(Checkpoints(folder).load()[1]) == ["model", "optimizer"]


def test_arrays_of_objects_are_refused(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save({}, {"model": [np.array([{}])]}, arrays(7))
    with pytest.raises(TypeError, match="model/0 hold Python objects"):
        checkpoints.wait()
    assert not list(folder.glob("state-*"))


def test_a_state_of_the_first_edition_loads(folder):
    """On NumPy before 2.1 its files also held the array `allow_pickle`."""
    folder.mkdir()
    text = json.dumps({"epoch": 3, "best_file": "best-000001.npz", "run": ""})
    extra = {"allow_pickle": np.array(False)}
    np.savez(folder / "best-000001.npz", **{"best/0": np.arange(3), **extra})
    state = {"model/0": np.arange(4), "model/1": np.float32(2), "record/0": np.array(text)}
    np.savez(folder / "state-000001.npz", **{**state, **extra})
    record, variables, best = Checkpoints(folder).load()
    assert record["epoch"] == 3
    np.testing.assert_array_equal(variables["model"][0], np.arange(4))
    assert variables["model"][1] == 2
    np.testing.assert_array_equal(best[0], np.arange(3))


def test_two_states_and_their_best_weights_are_kept(folder):
    checkpoints = Checkpoints(folder)
    for seed in range(1, 8):
        save(checkpoints, seed, best=arrays(seed) if seed in (1, 2, 6) else None)
    checkpoints.wait()
    assert sorted(os.listdir(folder)) == [
        "best-000006.npz", "state-000006.npz", "state-000007.npz",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_torn_state_is_named_and_the_one_before_it_taken(folder, damage, capsys):
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, best=arrays(1))
    save(checkpoints, 2)
    save(checkpoints, 3, best=arrays(3))
    checkpoints.wait()
    path = folder / "state-000003.npz"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[data.index(arrays(3)[0].tobytes()) + 7] ^= 1
    else:
        data = b""
    path.write_bytes(data)
    again = Checkpoints(folder)
    record, _, best = again.load()
    assert record["epoch"] == 2
    np.testing.assert_array_equal(best[0], arrays(1)[0])
    assert "state-000003.npz: not whole" in capsys.readouterr().err
    assert (folder / "state-000003.damaged").exists()
    # What is saved from here on finds its best weights, too.
    for seed in (4, 5):
        save(again, seed)
    again.wait()
    record, _, best = Checkpoints(folder).load()
    assert record["epoch"] == 5
    np.testing.assert_array_equal(best[0], arrays(1)[0])


def test_a_state_that_cannot_be_read_now_is_not_touched(folder, monkeypatch):
    """A file server that stumbles is no reason to begin anew."""
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, best=arrays(1))
    checkpoints.wait()

    def stale(*_, **__):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", stale)
        with pytest.raises(UserError, match="state-000001.npz: cannot be read"):
            Checkpoints(folder).load()
    assert Checkpoints(folder).load()[0]["epoch"] == 1


def test_a_worker_that_only_reads_removes_nothing(folder):
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, best=arrays(1))
    checkpoints.wait()
    (folder / "best-000002.npz").write_bytes(b"")
    (folder / "state-000002.npz").write_bytes(b"")
    before = sorted(os.listdir(folder))
    assert Checkpoints(folder, write=False).load()[0]["epoch"] == 1
    assert sorted(os.listdir(folder)) == before


def test_the_state_of_another_run_is_refused(folder):
    checkpoints = Checkpoints(folder, "one")
    save(checkpoints, 1, best=arrays(1))
    checkpoints.wait()
    with pytest.raises(UserError, match="of a run with other settings"):
        Checkpoints(folder, "another").load()


def test_removed_when_the_fold_is_done(folder):
    checkpoints = Checkpoints(folder)
    save(checkpoints, 1, best=arrays(1))
    checkpoints.remove()
    assert not folder.exists()


def test_a_full_disk_keeps_the_last_good_state_and_says_so(folder):
    """A limit on file sizes stands for the disk: writing fails in the middle of a file."""
    code = """
    import resource, sys
    import numpy as np
    from pathlib import Path
    from dftk.utils.errors import UserError
    from dftk.training.resume.checkpoint import Checkpoints
    checkpoints = Checkpoints(Path(sys.argv[1]))
    small, large = [np.zeros(1000)], [np.zeros(100_000)]
    checkpoints.save({"epoch": 1}, {"model": small}, small)
    checkpoints.wait()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    checkpoints.save({"epoch": 2}, {"model": large}, None)
    try:
        checkpoints.wait()
    except UserError as error:
        print(error)
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), folder],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "cannot write the state (File too large)" in answer.stdout
    assert "the last good state, state-000001.npz, is kept; free space there" in answer.stdout
    assert Checkpoints(folder).load()[0]["epoch"] == 1
    assert not list(folder.glob(".part-*"))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY, "only there"
