import threading

import pytest

from tfds_rvf10k.shards import version_folder


@pytest.fixture
def version(tmp_path):
    return tmp_path / "data" / "kfold5" / "1.0.0"


def names(version):
    return sorted(path.name for path in version.parent.glob("*"))


def test_orphans_of_killed_builders_go(version):
    version.mkdir(parents=True)
    for orphan in ("incomplete.ABC_1.0.0", "incomplete.X_incomplete.fresh_1.0.0", "replaced_1.0.0"):
        (version.with_name(orphan) / "deep").mkdir(parents=True)
    (version.with_name("incomplete.ABC_2.0.0")).mkdir()  # another version's: not ours
    with version_folder.exclusive_build(version):
        assert names(version) == [".1.0.0.lock", "1.0.0", "incomplete.ABC_2.0.0"]
    assert names(version) == ["1.0.0", "incomplete.ABC_2.0.0"]


def test_a_kill_between_the_two_renames_loses_nothing(version):
    aside = version.with_name("replaced_1.0.0")
    aside.mkdir(parents=True)
    (aside / "old").write_text("old")
    with version_folder.exclusive_build(version):
        assert (version / "old").read_text() == "old"


def test_one_takes_the_place_of_the_other(version):
    version.mkdir(parents=True)
    new = version_folder.staging_folder(version)
    new.mkdir()
    (new / "new").write_text("new")
    version_folder.replace(version, new)
    assert names(version) == ["1.0.0"]
    assert (version / "new").exists()


def test_two_builders_take_turns(version, capfd):
    inside, most, together = [], [], threading.Barrier(4)

    def build():
        together.wait()
        with version_folder.exclusive_build(version):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
    assert names(version) == []
    assert "another process is building it; waiting" in capfd.readouterr().err


def test_the_lock_is_given_back_after_a_failure(version):
    with pytest.raises(RuntimeError), version_folder.exclusive_build(version):
        raise RuntimeError
    assert not version.parent.exists()
