import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from dftk.datasets import sample
from dftk.input import decoding
from dftk.runs import saved_models
from dftk.serving.uploads import UploadError

JPEG = sample.draw_jpeg(np.random.default_rng(0), fake=True)


def test_probability_is_the_ensembles(service, trained):
    paths = [trained.model_path(fold) for fold in (0, 3)]
    image = decoding.decode_image(JPEG)[None]
    expected = np.mean([saved_models.load_model(path)(image).numpy() for path in paths])
    score = service.score(JPEG)
    assert score.probability == pytest.approx(expected, abs=1e-5)
    assert score.explanation is None


def test_explained_pictures_are_small_and_of_one_shape(service):
    png = tf.io.encode_png(np.full([300, 900, 3], 90, np.uint8)).numpy()
    wide = service.score(png, explain=True).explanation
    assert wide.picture.shape == wide.overlay.shape == (171, 512, 3)
    assert wide.overlay.dtype == np.uint8
    assert service.score(JPEG, explain=True).explanation.picture.shape == (64, 64, 3)


def test_an_explanation_takes_one_forward_pass_and_says_the_same(service, monkeypatch):
    plain = service.score(JPEG).probability
    # An ensemble that cannot be called: each model runs once, inside Grad-CAM.
    monkeypatch.setattr(service, "_ensemble", SimpleNamespace(members=service._ensemble.members))
    explained = service.score(JPEG, explain=True).probability
    assert explained == pytest.approx(plain, abs=1e-6)


def test_a_file_that_cannot_be_scored_is_an_error_with_a_status(service):
    with pytest.raises(UploadError) as caught:
        service.score(b"hello")
    assert caught.value.status == 415
    with pytest.raises(UploadError) as caught:
        service.score(JPEG + bytes(10**5))
    assert caught.value.status == 413


def test_more_images_than_may_wait_are_refused(service):
    scores = []
    waiting = [
        threading.Thread(target=lambda: scores.append(service.score(JPEG))) for _ in range(2)
    ]
    with service._lock:  # as while another image is scored
        for thread in waiting:
            thread.start()
        while service._slots.acquire(blocking=False):  # until both wait
            service._slots.release()
        with pytest.raises(UploadError, match="2 images wait already") as caught:
            service.score(JPEG)
    for thread in waiting:
        thread.join()
    assert caught.value.status == 503
    assert len(scores) == 2
    assert service.score(JPEG) == scores[0], "there is room again, after an error, too"
