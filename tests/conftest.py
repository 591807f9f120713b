"""Fixtures of real parts: a drawn tree, the dataset TFDS builds of it, and ../shared if present."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from quick_run import quick_config
from repository import SHARED

from dftk.utils import cpu

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
cpu.prepare()  # as the commands do


def once(tmp_path_factory, name, make):
    """Returns what `make` wrote to the path that it was given.

    Of several pytest processes the first one makes it. With DFTK_TEST_FIXTURES, a folder, later
    runs of pytest find it there.
    """
    if "DFTK_TEST_FIXTURES" in os.environ:
        folder = Path(os.environ["DFTK_TEST_FIXTURES"])
    else:
        folder = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            folder = folder.parent
    made, part = folder / name, folder / f"{name}.part" / name
    with open(folder / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(part.parent, ignore_errors=True)  # of one that failed
            part.parent.mkdir()
            make(part)
            part.rename(made)
    return made


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A TFDS directory with the sample in it, 5 folds."""
    from dftk.datasets import sample

    made = once(tmp_path_factory, "tensorflow_datasets", lambda path: sample.build(str(path), 5))
    # A copy for each process, as of all that tests write into.
    return str(shutil.copytree(made, tmp_path_factory.mktemp("data") / made.name))


@pytest.fixture(scope="session")
def dataset(data_dir):
    """The sample's catalog."""
    from dftk.datasets import catalog

    return catalog.open_dataset("sample", data_dir, 5)


@pytest.fixture
def copy(dataset, tmp_path):
    """A copy of the sample to damage; returns a function that opens it."""
    from dftk.datasets import catalog

    folder = tmp_path / "dftk_sample" / "kfold5" / "1.0.0"
    source = Path(dataset.train[0].path).parent
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("dftk_pixels", "dftk_features"))
    return lambda: catalog.open_dataset(str(folder), None, 5)


@pytest.fixture(scope="session")
def small_tree(tmp_path_factory):
    """A drawn tree of 30 images, some of them copies."""
    import small_dataset

    return small_dataset.draw(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def small_whole(small_tree, tmp_path_factory):
    """The folder of the dataset that is built of it, 3 folds of 2 shards."""
    import small_dataset

    return small_dataset.build(small_tree, tmp_path_factory.mktemp("built"))


@pytest.fixture
def small(small_whole, tmp_path):
    """A copy of that dataset to damage."""
    return Path(shutil.copytree(small_whole, tmp_path / "1.0.0"))


@pytest.fixture(scope="session")
def examples(dataset):
    """The sample's `train`, decoded."""
    from dftk.input import residency

    return residency.open_examples(dataset.train, "ram")


@pytest.fixture(scope="session")
def shared():
    """The folder with real data and weights beside the project; skips where it is not."""
    if not SHARED.is_dir():
        pytest.skip(f"needs real data in {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def calibrated(examples, tmp_path_factory):
    """Random weights whose BatchNorm statistics fit: else activations all but vanish with depth,
    and rounding is all that is left of gradients.
    """
    import tensorflow as tf

    from dftk.models import registry
    from dftk.training.config import resolve

    def make(path):
        config = resolve({"dataset": "sample", "image_size": 32, "batchnorm_momentum": 0.0})
        detector = registry.build(config, "float32", False)
        detector.features(detector.unit_image(examples.fetch(tf.range(0, 400, 4))), training=True)
        detector.base.save_weights(path)

    return once(tmp_path_factory, "calibrated.weights.h5", make)


@pytest.fixture(scope="session")
def trained(data_dir, tmp_path_factory):
    """The workdir of a run with folds 0 and 3; tests write into it."""
    made = _run_once(tmp_path_factory, "trained", quick_config(data_dir))
    return _copied(tmp_path_factory, made)


@pytest.fixture(scope="session")
def untouched_cnn(data_dir, tmp_path_factory):
    """As `trained`, of the small network, and the folder that no test writes into."""
    config = quick_config(data_dir).replaced(model="cnn", frozen_epochs=0)
    return _run_once(tmp_path_factory, "trained_cnn", config)


@pytest.fixture(scope="session")
def trained_cnn(untouched_cnn, tmp_path_factory):
    """A copy of that which tests write into."""
    return _copied(tmp_path_factory, untouched_cnn)


def _run_once(tmp_path_factory, name, config):
    from dftk.launch import run
    from dftk.runs.workdir import Workdir

    return once(tmp_path_factory, name, lambda path: run.train(config, [0, 3], Workdir(path)))


def _copied(tmp_path_factory, made):
    from dftk.runs.workdir import Workdir

    return Workdir(Path(shutil.copytree(made, tmp_path_factory.mktemp("runs") / made.name)))


@pytest.fixture(scope="session")
def small_ensemble():
    """Two small detectors with random weights: what they say is arbitrary, but not constant."""
    from dftk.models import registry
    from dftk.runs.saved_models import Ensemble
    from dftk.training.config import resolve

    given = {"dataset": "sample", "model": "cnn", "image_size": 48}
    configs = [resolve({**given, "seed": seed}) for seed in (0, 1)]
    return Ensemble([registry.build(config, "float32", False).model for config in configs])


@pytest.fixture(scope="session")
def service(trained):
    """Both folds of the trained run behind dftk.serve, with small limits."""
    from dftk.serving.service import Service
    from dftk.serving.uploads import UploadLimits

    limits = UploadLimits(max_pixels=10**6, max_bytes=10**5, max_files=6, max_waiting=2)
    return Service(trained.path, None, limits)


@pytest.fixture(scope="session")
def address(service):
    """host:port of that service's server, which listens as long as tests run."""
    import threading

    uvicorn = pytest.importorskip("uvicorn", reason="needs pip install -e '.[serve]'")
    pytest.importorskip("fastapi", reason="needs pip install -e '.[serve]'")
    from dftk.serving import server

    with server.listening_socket("127.0.0.1", 0) as listener:
        app = server.application(service, "127.0.0.1")
        running = uvicorn.Server(server.uvicorn_config(app))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join()


@pytest.fixture
def counted_decodes(monkeypatch):
    """A function that tells how many JPEGs were decoded since the test began."""
    import tensorflow as tf

    from dftk.input import decoding

    calls = []
    real = decoding.decode_image

    def counted(contents):
        if tf.executing_eagerly():
            calls.append(1)
        else:
            with tf.control_dependencies([tf.py_function(lambda: calls.append(1), [], [])]):
                contents = tf.identity(contents)
        return real(contents)

    monkeypatch.setattr(decoding, "decode_image", counted)
    return lambda: len(calls)
