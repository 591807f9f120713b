import json

import numpy as np
import pytest
import tensorflow as tf
from commands import run_command

from dftk.exports import check_images, comparison, formats
from dftk.input import decoding
from dftk.runs import saved_models


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "--model: give a model.keras file"),
        (["--model=x.keras"], 2, "--output: name"),
        (["--model=x.keras", "--output=y", "--format=tfjs"], 2, "saved_model|litert|onnx"),
        (["--model=x.keras", "--output=y", "--tolerance=-1"], 2, "tolerance"),
        (["--model=x.keras", "--output=y", "--max_images=0"], 2, "max_images"),
        (["--model=x.keras", "--output=y"], 1, "x.keras: no such model"),
        (["--model=x", "--output=y", "--images=a", "--data_dir=b"], 2, "--data_dir=b: is not read"),
        (["stray"], 2, "unexpected argument 'stray'"),
    ],
)
def test_errors_are_one_line(arguments, status, message):
    answer = run_command("export", *arguments)
    assert answer.returncode == status
    assert answer.stdout == ""
    last = answer.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


@pytest.mark.long
def test_one_fold_of_a_run_for_tf_serving(trained, tmp_path):
    output = tmp_path / "detector" / "1"
    answer = run_command(
        "export",
        f"--model={trained.path}",
        "--fold=3",
        f"--output={output}",
        "--max_images=12",
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(f"saved_model: {output}, ")
    assert "12 images of dftk_sample" in answer.stdout
    files = check_images.from_workdir(trained, 8).files
    served = formats.open_serving_bytes(output)(files)[:, 0]
    ensemble = saved_models.load_ensemble([trained.model_path(3)])
    images = tf.stack([decoding.decode_image(data) for data in files])
    np.testing.assert_allclose(served, ensemble(images)[0], atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "folds"), [("litert", [0, 3]), ("onnx", [3])])
def test_the_large_network_in_other_runtimes(kind, folds, trained, tmp_path):
    for package in formats.FORMATS[kind].packages:
        pytest.importorskip(package, reason="needs pip install -e '.[export]'")
    output = tmp_path / "detector"
    flags = [f"--model={trained.path}", f"--format={kind}", f"--output={output}"]
    answer = run_command("export", *flags, *(["--fold=3"] if folds == [3] else []))
    assert answer.returncode == 0, answer.stderr
    described = json.loads((tmp_path / "detector.json").read_text())
    assert described["provenance"]["folds"] == folds
    assert described["compared"]["difference_to"]["Keras, float32"]["largest"] <= 1e-4
    images = check_images.from_workdir(trained, 8).decoded()
    ensemble = saved_models.load_ensemble([trained.model_path(fold) for fold in folds])
    np.testing.assert_allclose(
        comparison.score(formats.FORMATS[kind].open(output), images),
        comparison.score(comparison.as_run(ensemble), images),
        atol=1e-4,
    )
