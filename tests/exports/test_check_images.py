import numpy as np
import pytest
import tensorflow as tf

from dftk.exports import check_images
from dftk.input import residency
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.files import write_json


def jpeg(level, size=(22, 33)):
    return tf.io.encode_jpeg(np.full((*size, 3), level, np.uint8)).numpy()


def test_a_folder_is_spread_evenly_and_a_bad_file_named(tmp_path):
    (tmp_path / "sub").mkdir()
    for index in range(9):
        (tmp_path / ("sub" if index % 2 else ".") / f"{index}.jpg").write_bytes(jpeg(index * 20))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._0.jpg").write_bytes(b"of another system")
    chosen = check_images.from_folder(tmp_path, 3)
    levels = [int(image[0, 0, 0]) for image in chosen.decoded()[:3]]
    assert levels == [0, 160, 140], "first, middle and last of 0 2 4 6 8 and sub/1 3 5 7"
    assert len(check_images.from_folder(tmp_path, 100).files) == 9
    (tmp_path / "0.jpg").write_bytes(b"\xff\xd8 broken")
    with pytest.raises(UserError, match=r"0\.jpg: not a readable JPEG.*; remove it"):
        check_images.from_folder(tmp_path, 100)


def test_no_folder_or_no_image(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        check_images.from_folder(tmp_path / "none", 3)
    with pytest.raises(UserError, match=r"no \.jpg, .*\.gif file"):
        check_images.from_folder(tmp_path, 3)


def test_cuts_have_other_and_odd_sizes():
    images = check_images.CheckImages([jpeg(9, (256, 256))] * 5, "drawn").decoded()
    assert [image.shape for image in images[5:]] == [(209, 232, 3), (186, 232, 3), (162, 232, 3)]
    tiny = check_images.CheckImages([jpeg(9, (1, 1))], "drawn").decoded()
    assert [image.shape for image in tiny] == [(1, 1, 3)] * 2


def test_a_run_gives_its_valid_split(trained, dataset):
    chosen = check_images.choose(None, trained, 1000)
    every = residency.open_examples(dataset.valid, "ram")
    assert len(chosen.files) == len(every.labels) == 100
    for row in (0, 57, 99):
        np.testing.assert_array_equal(chosen.decoded()[row], every.fetch(tf.constant([row]))[0])
    assert "dftk_sample" in chosen.source
    assert len(check_images.from_workdir(trained, 7).files) == 7
    assert len(check_images.from_workdir(trained, 1).files) == 1


def test_a_dataset_that_moved_is_found_where_it_is_said_to_be(trained, data_dir, tmp_path):
    record = trained.config()
    gone = tmp_path / "gone"
    record["config"] = {**record["config"], "data_dir": str(gone)}
    write_json(tmp_path / "config.json", record)
    assert "dftk_sample" in check_images.choose(None, Workdir(tmp_path), 4, data_dir).source
    assert not gone.exists(), "the sample is drawn where it is missing"


def test_a_dataset_that_is_not_where_it_is_said_to_be_is_no_noise(trained, tmp_path):
    record = trained.config()
    record["config"] = {**record["config"], "dataset": "rvf10k"}
    write_json(tmp_path / "config.json", record)
    assert "noise" in check_images.choose(None, Workdir(tmp_path), 4).source
    elsewhere = str(tmp_path / "elsewhere")
    for workdir in (Workdir(tmp_path), None):
        with pytest.raises(UserError, match=f"--data_dir={elsewhere}: no images to compare on"):
            check_images.choose(None, workdir, 4, elsewhere)


def test_noise_is_used_only_with_words(trained, tmp_path, capsys):
    record = trained.config()
    record["inputs"]["dataset_fingerprint"] = "of other data"
    write_json(tmp_path / "config.json", record)
    for workdir, why in ((None, "no workdir"), (Workdir(tmp_path), "is not the data")):
        chosen = check_images.choose(None, workdir, 4)
        assert "noise" in chosen.source
        said = capsys.readouterr().err
        assert "not on real images" in said
        assert why in said
    assert len({image.shape for image in chosen.decoded()}) > 4
