import io

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dftk.datasets import sample
from dftk.utils.errors import UserError


@pytest.fixture(scope="module")
def pictures():
    """1,200 JPEGs, every second one fake: enough that chance stays within 0.5 +- 0.05."""
    label = np.arange(1200) % 2
    return label, [
        sample.draw_jpeg(np.random.default_rng([7, i]), fake=bool(f)) for i, f in enumerate(label)
    ]


def pixels(jpegs):
    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs]) / 255.0


def separability(features, label):
    """Cross-validated AUC of a linear classifier."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    scores = cross_val_predict(classifier, features, label, cv=5, method="decision_function")
    return roc_auc_score(label, scores)


def test_no_shortcut_by_size_format_or_mean_colour(pictures):
    label, jpegs = pictures
    images = [Image.open(io.BytesIO(jpeg)) for jpeg in jpegs]
    assert {(i.format, i.size, i.mode, str(i.quantization)) for i in images} == {
        ("JPEG", (64, 64), "RGB", str(images[0].quantization))
    }
    size = np.array([[len(jpeg)] for jpeg in jpegs])
    colour = pixels(jpegs).mean(axis=(1, 2))
    assert separability(np.hstack([size, colour]), label) < 0.56


def test_the_lattice_is_in_the_spectrum_of_the_fakes_only(pictures):
    label, jpegs = pictures
    grey = pixels(jpegs).mean(axis=3)
    spectrum = np.log(np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))) + 1e-3)
    half = sample.IMAGE_SIZE // 2
    nyquist = np.stack([spectrum[:, 0, half], spectrum[:, half, 0]], 1)
    assert separability(nyquist, label) > 0.99


def test_drawing_is_repeatable(tmp_path):
    for name in ("a", "b"):
        sample.draw_tree(tmp_path / name, seed=3)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.jpg"))
    assert len(files) == 500
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )


def test_the_sample_is_stored_as_the_real_data_is(dataset):
    from pathlib import Path

    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(Path(dataset.train[0].path).parent).info
    assert set(info.features) == {"image", "label", "fold", "filename"}
    assert info.metadata["fold_sizes"] == [[40, 40]] * 5
    assert info.metadata["valid_size"] == [50, 50]


def test_built_once_and_nothing_on_stdout(tmp_path, capsys):
    sample.build(str(tmp_path), 2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tfrecord*")}
    sample.build(str(tmp_path), 2)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tfrecord*")}
    assert len(before) == 12
    assert capsys.readouterr().out == ""


def test_a_data_dir_that_cannot_be_written_is_named():
    with pytest.raises(UserError, match="--data_dir=/dev/null/x: cannot build the sample there"):
        sample.build("/dev/null/x", 2)
