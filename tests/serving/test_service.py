import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from dftk.datasets import sample
from dftk.input import decoding
from dftk.runs import saved_models
from dftk.serving.service import Verdict

JPEG = sample.draw_jpeg(np.random.default_rng(0), fake=True)


def test_probability_is_the_ensembles(service, trained):
    paths = [trained.model_path(fold) for fold in (0, 3)]
    image = decoding.decode_image(JPEG)[None]
    expected = np.mean([saved_models.load_model(path)(image).numpy() for path in paths])
    verdict = service.judge("a.jpg", JPEG)
    assert verdict.probability == pytest.approx(expected, abs=1e-5)
    assert (verdict.picture, verdict.overlay) == (None, None)


def test_explained_pictures_are_small_and_of_one_shape(service):
    png = tf.io.encode_png(np.full([300, 900, 3], 90, np.uint8)).numpy()
    verdict = service.judge("wide.png", png, explain=True)
    assert verdict.picture.shape == verdict.overlay.shape == (171, 512, 3)
    assert verdict.overlay.dtype == np.uint8
    assert service.judge("a.jpg", JPEG, explain=True).picture.shape == (64, 64, 3)


def test_an_explanation_takes_one_forward_pass_and_says_the_same(service, monkeypatch):
    plain = service.judge("a.jpg", JPEG).probability
    # Without a call of its own: each network runs once, inside Grad-CAM.
    monkeypatch.setattr(service, "_ensemble", SimpleNamespace(members=service._ensemble.members))
    explained = service.judge("a.jpg", JPEG, explain=True).probability
    assert explained == pytest.approx(plain, abs=1e-6)


def test_what_is_wrong_with_a_file_is_in_its_verdict(service):
    verdict = service.judge("a.txt", b"hello")
    assert (verdict.probability, verdict.status, verdict.label(0.5)) == (None, 415, "")
    assert service.judge("a.jpg", JPEG + bytes(10**5)).status == 413


def test_label_is_fake_from_the_threshold_on():
    assert Verdict("", 0.5).label(0.5) == "fake"
    assert Verdict("", 0.4).label(0.5) == "real"


def test_more_than_may_wait_are_told_so(service):
    answers = []
    waiting = [
        threading.Thread(target=lambda: answers.append(service.judge("", JPEG))) for _ in range(2)
    ]
    with service._model:  # as while another image is scored
        for thread in waiting:
            thread.start()
        while service._places._value:  # until both stand in line
            pass
        busy = service.judge("third", JPEG)
    for thread in waiting:
        thread.join()
    assert (busy.status, "2 images wait already" in busy.error) == (503, True)
    assert [answer.status for answer in answers] == [200, 200]
    assert service.judge("later", JPEG).status == 200
