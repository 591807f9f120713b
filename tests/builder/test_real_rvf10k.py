"""The real images and weights, where ../shared has them: `pytest -m slow`."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run_command
from PIL import Image
from repository import ROOT

from dftk.datasets import catalog
from dftk.input import residency

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real_dir(shared, tmp_path_factory):
    """A TFDS directory in which the command line built the real RVF10K."""
    data_dir = tmp_path_factory.mktemp("real")
    tfds = Path(sys.executable).with_name("tfds")
    command = [
        tfds,
        "build",
        "tfds_rvf10k",
        "--manual_dir",
        shared / "rvf10k",
        "--data_dir",
        data_dir,
    ]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
    return data_dir


def test_the_real_set_builds_in_five_equal_folds(real_dir):
    opened = catalog.open_dataset("rvf10k", str(real_dir), 5)
    lengths = [sum(s.length for s in opened.train if s.fold == fold) for fold in range(5)]
    assert lengths == [1400] * 5
    assert sum(shard.length for shard in opened.valid) == 200
    assert opened.shortfall("valid") == "valid has 200 of the 3000 images that its CSV names"
    assert opened.shortfall("train") == ""


def test_real_pixels_are_the_files_pixels(real_dir, shared):
    opened = catalog.open_dataset("rvf10k", str(real_dir), 5)
    examples = residency.open_examples(residency.limit_examples(opened.train, 60), "ram")
    for row in range(0, 60, 7):
        file = shared / "rvf10k" / "rvf10k" / examples.filenames[row]
        np.testing.assert_array_equal(
            examples.fetch([row])[0], Image.open(io.BytesIO(file.read_bytes()))
        )
        assert examples.labels[row] == (file.parent.name == "fake")


@pytest.mark.long
def test_partial_imagenet_weights_learn_from_real_faces(real_dir, shared, tmp_path):
    """The frozen phase alone ranks faces better than chance, on images it has not seen."""
    weights = shared / "weights" / "xception_notop_imagenet_blocks1to13.weights.h5"
    answer = run_command(
        "train", "--dataset=rvf10k", f"--data_dir={real_dir}", f"--weights={weights}", "--fold=0",
        "--max_examples=1500", "--image_size=96", "--frozen_epochs=4", "--finetune_epochs=0",
        "--mixed_precision", f"--workdir={tmp_path}",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    scores = dict(zip(answer.stdout.split()[:6], answer.stdout.splitlines()[1].split()[2:]))
    assert scores["n"] == "300"
    assert float(scores["auc"]) > 0.6
