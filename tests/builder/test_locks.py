import shutil
import threading

import pytest

from tfds_rvf10k import locks


def test_a_removed_file_is_not_taken_for_the_lock(tmp_path, capfd):
    """Who waited for a file that is gone would be in beside the one who made the next."""
    path = tmp_path / "folder" / "lock"
    inside, most, together = [], [], threading.Barrier(4)

    def work():
        together.wait()
        with locks.file_lock(path, "waiting for it"):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()
            shutil.rmtree(path.parent)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
    assert "waiting for it" in capfd.readouterr().err


def test_it_is_given_back_after_a_failure_and_the_file_stays(tmp_path, capfd):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locks.file_lock(tmp_path / "lock", "waiting"):
            raise ZeroDivisionError
    assert (tmp_path / "lock").exists()
    assert capfd.readouterr().err == ""


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(FileExistsError), locks.file_lock(tmp_path / "folder" / "lock", "waiting"):
        pass
