"""What needs no Ray: paths, the shared folder, output to a file, wrong addresses."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from quick_run import quick_config
from repository import ROOT

from dftk.launch import ray_session
from dftk.runs.workdir import Workdir
from dftk.training.config import resolve
from dftk.utils.errors import UserError


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:PORT", "nobody answers"),
        ("ray://head:10001", "give auto or HOST:PORT"),
        ("head", "give auto or HOST:PORT"),
        ("127.0.0.1:99999", "nobody answers"),
    ],
)
def test_a_wrong_address_is_told_at_once(address, words):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused
        address = address.replace("PORT", str(unused.getsockname()[1]))
        with (
            pytest.raises(UserError, match=f"--ray_address={address}: {words}") as raised,
            ray_session.connect(address),
        ):
            pass
    assert "\n" not in str(raised.value)


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UserError, match=r"pip install -e '\.\[cluster\]'"),
        ray_session.connect(None),
    ):
        pass


def test_paths_are_made_absolute_and_names_are_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.weights.h5").touch()
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    config = quick_config("data").replaced(weights="w.weights.h5")
    seen = ray_session.with_absolute_paths(config)
    assert (seen.data_dir, seen.model.weights) == (f"{tmp_path}/data", f"{tmp_path}/w.weights.h5")
    assert seen.dataset == "sample"
    assert ray_session.with_absolute_paths(quick_config(None)).data_dir is None
    monkeypatch.setenv("TFDS_DATA_DIR", "~/elsewhere")
    assert ray_session.with_absolute_paths(quick_config(None)).data_dir == str(
        Path.home() / "elsewhere"
    )


@pytest.mark.parametrize("dataset", ["rvf10k", "rvf10k/kfold5", "sample", "built/1.0.0"])
@pytest.mark.parametrize(("model", "weights"), [("residual", "none"), ("xception", "imagenet")])
def test_a_name_stays_a_name_where_a_file_has_it(dataset, model, weights, tmp_path, monkeypatch):
    """Of built/1.0.0 the data_dir has a version directory, and the working directory has none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / dataset).mkdir(parents=True)
    (tmp_path / weights).touch()
    version = tmp_path / "data" / "built" / "1.0.0"
    version.mkdir(parents=True)
    (version / "dataset_info.json").touch()
    config = resolve({"model": model, "dataset": dataset, "weights": weights, "data_dir": "data"})
    seen = ray_session.with_absolute_paths(config)
    assert (seen.dataset, seen.model.weights) == (dataset, weights)


@pytest.mark.parametrize("dataset", ["rvf10k", "faces", "faces.zip", "table.csv"])
def test_a_path_becomes_absolute(dataset, tmp_path, monkeypatch):
    """Of rvf10k the working directory has a version directory, which the catalog would open."""
    monkeypatch.chdir(tmp_path)
    if dataset == "rvf10k":
        (tmp_path / dataset).mkdir()
        (tmp_path / dataset / "dataset_info.json").touch()
    config = quick_config("data").replaced(dataset=dataset)
    assert ray_session.with_absolute_paths(config).dataset == f"{tmp_path}/{dataset}"


def test_a_node_that_sees_another_folder_says_so(tmp_path):
    here, there = Workdir(tmp_path / "here"), Workdir(tmp_path / "there")
    there.path.mkdir()
    with ray_session.shared_folder_token(here) as token:
        ray_session.require_shared_folder(here, token)
        with pytest.raises(UserError, match="storage that all nodes share"):
            ray_session.require_shared_folder(there, token)
    assert list(here.path.iterdir()) == []


def test_a_workdir_that_cannot_be_written():
    with (
        pytest.raises(UserError, match="--workdir=/dev/null/run: cannot write"),
        ray_session.shared_folder_token(Workdir("/dev/null/run")),
    ):
        pass


def test_rays_notes_are_kept_where_there_are_any(tmp_path, capsys):
    for words in ("", "a worker died"):
        with ray_session.stdout_to_file(tmp_path / "ray.log"):
            print(words, end="")
        assert (tmp_path / "ray.log").exists() is bool(words)
    assert capsys.readouterr().out == ""


def test_output_of_the_process_goes_into_the_file_and_back(tmp_path):
    code = f"""
import os, pathlib, sys
from dftk.launch.ray_session import output_to_file
print("before")
try:
    with output_to_file(pathlib.Path({str(tmp_path / "log")!r})):
        print("python")
        os.write(2, b"c++\\n")
        raise KeyError("why")
except KeyError:
    print("after")
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ
    )
    assert (answer.stdout, answer.stderr) == ("before\nafter\n", "")
    text = (tmp_path / "log").read_text()
    assert "python\n" in text
    assert "c++\n" in text
    assert "KeyError: 'why'" in text


def test_nodes_import_the_modules_without_tensorflow():
    """dftk.utils.cpu must prepare for it first."""
    code = (
        "import sys, dftk.launch.ray_cluster, dftk.launch.ray_workers\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
