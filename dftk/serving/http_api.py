"""The HTTP interface: POST an image, get JSON. An error is {"error": one sentence}."""

import base64
import dataclasses
from typing import Annotated, Any

import fastapi
import numpy as np
import tensorflow as tf
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

import dftk
from dftk.serving.framework_internals import InMemoryFormParser
from dftk.serving.service import Service
from dftk.serving.uploads import UploadError
from dftk.utils.progress import say

Threshold = Annotated[
    float | None, fastapi.Query(ge=0, le=1, description="Instead of the server's threshold.")
]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"type": "object", "required": ["file"], "properties": {"file": _BINARY["schema"]}}
_OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            **{f"image/{kind}": _BINARY for kind in ("jpeg", "png", "gif", "bmp")},
        },
    },
    "responses": {
        "4XX": {"description": '{"error": a sentence}: what is wrong with the image'},
        "503": {"description": '{"error": a sentence}: too many images wait'},
    },
}


def application(service: Service) -> fastapi.FastAPI:
    """Makes the routes under /api."""
    # FastAPI's own pages of documentation load scripts from the network; openapi.json suffices.
    app = fastapi.FastAPI(
        title="dftk",
        version=dftk.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.add_exception_handler(UploadError, _upload_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _server_error)

    @app.post("/api/predict", openapi_extra=_OPENAPI)
    async def predict(
        request: fastapi.Request, threshold: Threshold = None, explain: bool = False
    ) -> JSONResponse:
        """How likely an image is fake. Send one file in a form, or the image's bytes as the body.

        With explain, the answer also has the image and its Grad-CAM as data URIs of JPEGs.
        """
        filename, data = await _uploaded_file(request)
        try:
            score = await run_in_threadpool(service.score, data, explain)
        except UploadError as error:
            return JSONResponse({"filename": filename, "error": error.message}, error.status)
        chosen = service.threshold if threshold is None else threshold
        answer = {
            "filename": filename,
            "probability": score.probability,
            "label": "fake" if score.probability >= chosen else "real",
            "threshold": chosen,
            "model": service.info.name,
        }
        if score.explanation:
            answer["picture"] = _data_uri(score.explanation.picture)
            answer["overlay"] = _data_uri(score.explanation.overlay)
        return JSONResponse(answer)

    @app.get("/api/model")
    def model(threshold: Threshold = None) -> dict[str, Any]:
        """What the model was trained on and how often it errs; null where that is not measured."""
        chosen = service.threshold if threshold is None else threshold
        return {**service.info.as_dict(chosen), "uploads": dataclasses.asdict(service.limits)}

    @app.get("/api/health")
    def health() -> dict[str, str]:
        """Answers as long as the server runs."""
        return {"status": "ok", "model": service.info.name}

    return app


def _data_uri(image: np.ndarray) -> str:
    data = tf.io.encode_jpeg(image, quality=90).numpy()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


async def _uploaded_file(request: fastapi.Request) -> tuple[str, bytes]:
    """Returns the name and the bytes of the one file in a request.

    Raises:
      UploadError: it is a form without a file, or with several.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return "", await request.body()
    parser = InMemoryFormParser(request.headers, request.stream(), max_files=1, max_fields=8)
    try:
        form = await parser.parse()
    except MultiPartException as error:  # no form, or one with more in it
        raise UploadError(400, f"not a form with one file: {error.message}") from None
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise UploadError(422, "the form has no file; send one, curl -F file=@photo.jpg")
        return files[0].filename or "", await files[0].read()
    finally:
        await form.close()


async def _upload_error(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UploadError)
    return JSONResponse({"error": error.message}, error.status)


async def _http_error(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": f"{error.detail}; see /api/openapi.json"}, error.status_code, error.headers
    )


async def _server_error(_: fastapi.Request, error: Exception) -> JSONResponse:
    say(f"error: a request ended in {type(error).__name__}: {error}".splitlines()[0])
    text = "the server failed at this request and says why on its terminal; try again"
    return JSONResponse({"error": text}, 500)


async def _validation_error(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}={first['input']}: {first['msg']}"}, 422)
