import hashlib
from pathlib import Path

import pytest

from dftk.exports import output_files
from dftk.utils.errors import UserError


def fill(path, is_folder, text):
    if is_folder:
        (path / "variables").mkdir(parents=True)
        (path / "variables" / "data").write_text(text)
        path = path / "saved_model.pb"
    path.write_text(text)


def write(paths, is_folder, text):
    """An export and its manifest, both of `text`."""
    temporary, manifest = paths
    fill(temporary, is_folder, text)
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text(text)


def read(path, is_folder):
    return (path / "saved_model.pb" if is_folder else path).read_text()


@pytest.mark.parametrize("is_folder", [True, False])
def test_whole_or_not_there(is_folder, tmp_path):
    output = tmp_path / "new" / "model"
    with pytest.raises(RuntimeError), output_files.replacing(output, is_folder) as paths:
        write(paths, is_folder, "half")
        raise RuntimeError
    assert list(output.parent.iterdir()) == []
    with output_files.replacing(output, is_folder) as paths:
        write(paths, is_folder, "first")
        assert not output.exists()
    assert read(output, is_folder) == "first"


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_was_there_stays_until_the_new_one_is_whole(is_folder, tmp_path):
    output = tmp_path / "model"
    fill(output, is_folder, "former")
    with pytest.raises(UserError, match=f"--output={output}: exists; .*--overwrite"):
        output_files.check_replaceable(output, is_folder, overwrite=False)
    output_files.check_replaceable(output, is_folder, overwrite=True)
    with pytest.raises(RuntimeError), output_files.replacing(output, is_folder) as paths:
        write(paths, is_folder, "broken")
        raise RuntimeError
    assert read(output, is_folder) == "former"
    with output_files.replacing(output, is_folder) as paths:
        write(paths, is_folder, "new")
    assert read(output, is_folder) == "new"
    expected = [output] if is_folder else [output, output_files.manifest_path(output)]
    assert sorted(tmp_path.iterdir()) == expected


def test_a_rename_that_fails_leaves_the_former_export_and_its_manifest(tmp_path, monkeypatch):
    output = tmp_path / "model.onnx"
    with output_files.replacing(output, False) as paths:
        write(paths, False, "former")
    real = Path.replace

    def replace(path, target):
        if target == output:
            raise OSError(5, "Input/output error")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    words = f"--output={output}: cannot write there .Input/output"
    with pytest.raises(UserError, match=words), output_files.replacing(output, False) as paths:
        write(paths, False, "new")
    manifest = output_files.manifest_path(output)
    assert (output.read_text(), manifest.read_text()) == ("former", "former")
    assert sorted(tmp_path.iterdir()) == [output, manifest]


def test_a_manifest_that_cannot_take_its_place_leaves_none_of_another_export(tmp_path, monkeypatch):
    output = tmp_path / "model.onnx"
    manifest = output_files.manifest_path(output)
    with output_files.replacing(output, False) as paths:
        write(paths, False, "former")
    real = Path.replace

    def replace(path, target):
        if target == manifest:
            raise OSError(5, "Input/output error")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(UserError), output_files.replacing(output, False) as paths:
        write(paths, False, "new")
    assert output.read_text() == "new"
    assert list(tmp_path.iterdir()) == [output]


def test_overwrite_spares_what_is_no_export(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    for is_folder, words in ((True, "a folder with a SavedModel"), (False, "a file")):
        with pytest.raises(UserError, match=f"is not {words}"):
            output_files.check_replaceable(precious, is_folder, overwrite=True)
    output_files.check_replaceable(tmp_path / "nothing", True, overwrite=False)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "model"
    words = f"--output={output}: cannot write there"
    with pytest.raises(UserError, match=words), output_files.replacing(output, True):
        pass


def test_digests_and_size(tmp_path):
    fill(tmp_path / "folder", True, "text")
    digest = hashlib.sha256(b"text").hexdigest()
    assert output_files.digests(tmp_path / "folder", "unused") == {
        "saved_model.pb": digest,
        "variables/data": digest,
    }
    file = tmp_path / "folder" / "saved_model.pb"
    assert output_files.digests(file, "model.onnx") == {"model.onnx": digest}
    assert output_files.megabytes(file) == 4e-6
    assert output_files.megabytes(tmp_path / "folder") == 8e-6
