import asyncio
import base64
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from http_client import JPEG, ask


def form(*files, name="file"):
    """Body and headers of a multipart form."""
    parts = [
        f'--b\r\ncontent-disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for file, data in files
    ]
    return b"".join(parts) + b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}


def test_bytes_and_form_give_the_services_answer(address, service):
    expected = service.score(JPEG).probability
    status, raw = ask(address, "POST", "/api/predict", JPEG)
    assert status == 200
    assert set(raw) == {"filename", "probability", "label", "threshold", "model"}
    assert raw["probability"] == pytest.approx(expected, abs=1e-6)
    status, sent = ask(address, "POST", "/api/predict", *form(("a b.jpg", JPEG)))
    assert (status, sent) == (200, {**raw, "filename": "a b.jpg"})


def test_threshold_decides_the_label(address, service):
    probability = service.score(JPEG).probability
    above = np.nextafter(probability, 1)
    for threshold, label in ((0, "fake"), (1, "real"), (probability, "fake"), (above, "real")):
        answer = ask(address, "POST", f"/api/predict?threshold={threshold}", JPEG)[1]
        assert (answer["label"], answer["threshold"]) == (label, threshold)


def test_explained_pictures_are_jpegs(address):
    answer = ask(address, "POST", "/api/predict?explain=true", JPEG)[1]
    for name in ("picture", "overlay"):
        kind, data = answer[name].split(",")
        assert kind == "data:image/jpeg;base64"
        assert tf.io.decode_jpeg(base64.b64decode(data)).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "text"),
    [
        ("", b"", {}, 422, "empty"),
        ("", b"Dear Sir", {"content-type": "image/jpeg"}, 415, "not a JPEG"),
        ("", JPEG[:900], {}, 422, "broken"),
        ("", bytes(10**5 + 1), {}, 413, "more than 0.0954 MB"),
        ("", bytes(3 * 10**5), {}, 413, "more than 0.0954 MB"),
        ("", *form(), 400, "form"),
        ("", *form(("a", JPEG), ("b", JPEG)), 400, "one file"),
        ("", b"nonsense", {"content-type": "multipart/form-data"}, 400, "form"),
        ("?threshold=2", JPEG, {}, 422, "threshold=2"),
        ("?threshold=nan", JPEG, {}, 422, "threshold=nan"),
    ],
)
def test_mistakes_are_one_sentence(address, path, body, headers, status, text):
    found, answer = ask(address, "POST", f"/api/predict{path}", body, headers)
    assert found in (status, 422), answer
    assert text in answer["error"]
    assert "\n" not in answer["error"]


def test_a_body_of_unknown_length_is_counted(address):
    chunks = (bytes(10**4) for _ in range(30))
    found, answer = ask(address, "POST", "/api/predict", chunks)
    assert (found, "more than 0.0954 MB" in answer["error"]) == (413, True)


def test_model_info_has_the_error_rates_at_a_threshold(address, service):
    status, info = ask(address, "GET", "/api/model?threshold=0.0")
    assert (status, info["model"]) == (200, service.info.name)
    assert (info["real_called_fake"]["rate"], info["fakes_missed"]["rate"]) == (1, 0)
    assert info["uploads"]["max_files"] == 6
    assert ask(address, "GET", "/api/health")[1]["status"] == "ok"


def test_what_is_documented_is_all_there_is(address):
    paths = ask(address, "GET", "/api/openapi.json")[1]["paths"]
    assert set(paths) == {"/api/predict", "/api/model", "/api/health"}
    for path in ("/docs", "/redoc", "/../etc/passwd", "/%2e%2e/etc/passwd", "/page.py",
                 "/file=/etc/passwd", "/gradio_api/file=/etc/passwd", "//etc/passwd"):  # fmt: skip
        assert ask(address, "GET", path)[0] == 404
    assert ask(address, "DELETE", "/api/model")[0] == 405


def test_a_large_form_touches_no_disk(monkeypatch):
    """Above 1 MB Starlette would put it into a temporary file."""
    http_api = pytest.importorskip("dftk.serving.http_api", reason="needs '.[serve]'")
    rolled = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rolled.append)
    image = bytes(3 * 2**20)
    body, headers = form(("a.jpg", image))
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return messages.pop()

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = http_api.fastapi.Request({"type": "http", "headers": raw}, receive)
    assert asyncio.run(http_api._uploaded_file(request)) == ("a.jpg", image)
    assert not rolled


def test_a_failure_of_the_server_is_one_sentence_too(address, service, monkeypatch, capsys):
    def fail(*_):
        raise ZeroDivisionError("by zero\nand more")

    monkeypatch.setattr(service, "score", fail)
    status, answer = ask(address, "POST", "/api/predict", JPEG)
    assert (status, "the server failed" in answer["error"]) == (500, True)
    assert capsys.readouterr().err == "error: a request ended in ZeroDivisionError: by zero\n"
