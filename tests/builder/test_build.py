"""The command `python -m tfds_rvf10k.build`."""

import json
import shlex
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds
from images import encoded, picture
from repository import ROOT

from tfds_rvf10k import build


def draw(root, train, valid=2):
    for split, count in (("train", train), ("valid", valid)):
        for label, name in enumerate(("real", "fake")):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                data = encoded(picture((label, split == "valid", index)))
                (root / split / name / f"{index}.jpg").write_bytes(data)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("tree"), 20)


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command; returns its status, the lines on stdout, and those on stderr."""

    def run(tree, *options):
        status = build.main([f"--manual_dir={tree}", f"--data_dir={tmp_path}", *options])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out.splitlines(), err.splitlines()

    return run


def version(tmp_path, config="kfold5"):
    return tmp_path / "rvf10k" / config / "1.0.0"


def test_it_builds_and_prints_the_folder(run, tree, tmp_path):
    status, out, err = run(tree)
    assert (status, out) == (0, [str(version(tmp_path))])
    assert any(line.startswith("checking: 44 images") for line in err)
    assert any(line.startswith("writing: 44 images") for line in err)
    assert tfds.load("rvf10k", split="train", data_dir=str(tmp_path)).cardinality() == 40

    status, out, err = run(tree)
    assert (status, out) == (0, [str(version(tmp_path))])
    assert f"{version(tmp_path)}: there already; --overwrite builds it again" in err
    assert any(line.startswith(f"--manual_dir={tree}: not read; to build") for line in err)


def test_it_builds_what_tfds_build_builds(run, tree, tmp_path):
    from tensorflow_datasets.scripts.cli import main

    run(tree, '--config={"name": "k4", "k": 4}')
    other = tmp_path / "other"
    command = ["tfds", "build", str(ROOT / "tfds_rvf10k"), f"--manual_dir={tree}"]
    command += [f"--data_dir={other}", '--config={"name": "k4", "k": 4}']
    main.main(main._parse_flags(command))
    ours, theirs = version(tmp_path, "k4"), version(other, "k4")
    names = sorted(path.name for path in ours.iterdir())
    assert names == sorted(path.name for path in theirs.iterdir())
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_a_failed_overwrite_keeps_the_former_version(run, tree, tmp_path):
    run(tree)
    before = (version(tmp_path) / "manifest.json").read_bytes()
    bad = draw(tmp_path / "bad", 20)
    (bad / "train/real/3.jpg").write_bytes(b"")
    status, out, err = run(bad, "--overwrite")
    assert (status, out) == (1, [])
    first, problem, last = err[-3:]
    assert first == f"1 problem in {bad}, nothing was built:"
    assert problem == "  train/real/3.jpg: an empty file; get it again"
    assert "--config=" in last
    assert (version(tmp_path) / "manifest.json").read_bytes() == before
    assert [path.name for path in version(tmp_path).parent.iterdir()] == ["1.0.0"]

    (version(tmp_path) / "old").write_text("")
    assert run(tree, "--overwrite")[0] == 0
    assert not (version(tmp_path) / "old").exists()


def test_the_remedy_for_small_folds_works_as_it_stands(run, tmp_path):
    """Twenty images of train and sixty of valid, and other fields that the remedy must keep."""
    small = draw(tmp_path / "small", 10, valid=30)
    for folder in small.glob("*/fake"):
        folder.rename(folder.with_name("gan"))
    config = json.dumps({"name": "mine", "k": 10, "fake": "gan"})
    status, _, err = run(small, f"--config={config}")
    assert status == 1
    assert "a fold of 2 images does not fill 4 shards" in err[-1]
    (option,) = shlex.split(err[-1].partition("such as ")[2])
    status, out, _ = run(small, option)
    assert status == 0
    assert tfds.builder_from_directory(out[0]).info.metadata["fold_sizes"] == [[1, 1]] * 10


def test_the_remedy_for_bad_files_keeps_the_other_fields(run, tmp_path):
    bad = draw(tmp_path / "bad", 6)
    for folder in bad.glob("*/real"):
        folder.rename(folder.with_name("photos"))
    (bad / "train/photos/0.jpg").write_bytes(b"")
    config = json.dumps({"name": "mine", "k": 2, "shards_per_fold": 1, "real": "photos"})
    status, _, err = run(bad, f"--config={config}")
    assert status == 1
    (option,) = shlex.split(err[-1].partition("such as ")[2])
    assert run(bad, option)[0] == 0


def test_notes_are_lines(run, tree):
    (tree / "masks").mkdir(exist_ok=True)
    status, _, err = run(tree)
    assert status == 0
    assert "note: masks/ is left alone: it is no split and no class" in err
    (tree / "masks").rmdir()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--config={", "'{' is neither kfold5 nor JSON (Expecting property name"),
        ("--config=kfold7", "'kfold7' is neither kfold5 nor JSON"),
        ("--config=[1]", "'[1]' is no JSON object; give it as in"),
        ('--config={"name": "a", "K": 5}', "config: no field 'K'; the fields are name, k, seed"),
        ('--config={"name": "kfold5", "k": 4}', "'kfold5' is a predefined config; take another"),
        ('--config={"k": 4}', "config: it has no name"),
        ('--config={"name": "a", "k": 1}', "config 'a': k must be at least 2, got 1"),
    ],
)
def test_a_wrong_config_is_one_line_and_status_2(option, message, run, tree):
    status, out, err = run(tree, option)
    assert (status, out) == (2, [])
    (line,) = err
    assert line.startswith(f"--config: {message}")


@pytest.mark.parametrize("options", [[], ["--manual_dir=x", "--force"], ["--manual_dir=x", "y"]])
def test_a_wrong_option_is_one_line_and_status_2(options, capsys):
    with pytest.raises(SystemExit) as error:
        build.main(options)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m tfds_rvf10k.build: ")
    assert line.endswith("; see --help")


def test_no_source_and_no_data_dir_are_one_line(run, tree, tmp_path):
    status, _, err = run(tmp_path / "nowhere")
    assert status == 1
    assert err[-1].startswith(
        f"{tmp_path / 'nowhere'}: no such file or directory. Download https://"
    )
    (tmp_path / "file").write_text("")
    status, _, err = run(tree, f"--data_dir={tmp_path / 'file'}")
    assert status == 1
    assert err[-1].startswith(f"{tmp_path / 'file'}: cannot build there (")


def test_beam_builds_and_its_own_errors_are_one_line(run, tree, tmp_path):
    status, _, err = run(tree, "--beam_pipeline_options=runner=DirectRunner")
    assert status == 0
    assert "writing: 44 images by Beam" in err
    status, _, err = run(tree, "--overwrite", "--beam_pipeline_options=runner=DataflowRunner")
    assert status == 1
    assert err[-1].startswith("--beam_pipeline_options=runner=DataflowRunner: ")
    assert err[-1].endswith("check the options")
    assert version(tmp_path).is_dir()


def test_help_loads_no_tensorflow():
    code = """
import sys
from tfds_rvf10k import build
try:
    build.main(["--help"])
except SystemExit as end:
    assert end.code == 0
assert "tensorflow" not in sys.modules
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert "Folder of the images." in shown.stdout
