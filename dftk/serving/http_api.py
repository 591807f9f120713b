"""The detector over HTTP: POST an image, get JSON; errors are {"error": one sentence}."""

import base64
import dataclasses
import sys
from typing import Annotated, Any

import fastapi
import numpy as np
import tensorflow as tf
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

import dftk
from dftk.serving.service import Service, Verdict
from dftk.serving.uploads import Refused
from dftk.utils.progress import say

Threshold = Annotated[
    float | None, fastapi.Query(ge=0, le=1, description="Instead of the server's own.")
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


class _InMemory(MultiPartParser):
    """Writes no file to the disk, whatever its size, which the Guard limits.

    Starlette's own spools files above 1 MB to a temporary file.
    """

    spool_max_size = max_file_size = sys.maxsize  # the latter is its older name


def application(service: Service) -> fastapi.FastAPI:
    """The routes under /api."""
    # The usual pages of documentation fetch scripts from the network; openapi.json is enough.
    app = fastapi.FastAPI(
        title="dftk", version=dftk.__version__, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json",
    )  # fmt: skip
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)

    @app.post("/api/predict", openapi_extra=_OPENAPI)
    async def predict(
        request: fastapi.Request, threshold: Threshold = None, explain: bool = False
    ) -> JSONResponse:
        """How likely an image is fake: one file of a form, or the image's bytes as the body.

        With explain, also the picture and its Grad-CAM as data URIs of JPEGs.
        """
        try:
            filename, data = await _upload(request)
        except Refused as error:
            return JSONResponse({"error": str(error)}, error.status)
        verdict = await run_in_threadpool(service.judge, filename, data, explain)
        chosen = service.threshold if threshold is None else threshold
        return JSONResponse(_answer(service, verdict, chosen), verdict.status)

    @app.get("/api/model")
    def model(threshold: Threshold = None) -> dict[str, Any]:
        """What the model was trained on and how often it errs; null where nobody measured."""
        chosen = service.threshold if threshold is None else threshold
        uploads = dataclasses.asdict(service.limits)
        return {**service.provenance.as_dict(chosen), "uploads": uploads}

    @app.get("/api/health")
    def health() -> dict[str, str]:
        """Answers as long as the server does."""
        return {"status": "ok", "model": service.provenance.name}

    return app


def _answer(service: Service, verdict: Verdict, threshold: float) -> dict[str, Any]:
    if verdict.error:
        return {"filename": verdict.filename, "error": verdict.error}
    answer = {
        "filename": verdict.filename,
        "probability": verdict.probability,
        "label": verdict.label(threshold),
        "threshold": threshold,
        "model": service.provenance.name,
    }
    if verdict.picture is not None and verdict.overlay is not None:
        answer |= {"picture": _data_uri(verdict.picture), "overlay": _data_uri(verdict.overlay)}
    return answer


def _data_uri(image: np.ndarray) -> str:
    data = tf.io.encode_jpeg(image, quality=90).numpy()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


async def _upload(request: fastapi.Request) -> tuple[str, bytes]:
    """The name and bytes of the one file in the request.

    Raises:
      Refused: a form without a file, or with several.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return "", await request.body()
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=8).parse()
    except MultiPartException as error:  # a form that is none, or has more
        raise Refused(400, f"not a form with one file: {error.message}") from None
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise Refused(422, "the form has no file; send one, curl -F file=@photo.jpg")
        return files[0].filename or "", await files[0].read()
    finally:
        await form.close()


async def _failed(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": f"{error.detail}; see /api/openapi.json"}, error.status_code, error.headers
    )


async def _broken(_: fastapi.Request, error: Exception) -> JSONResponse:
    say(f"error: a request ended in {type(error).__name__}: {error}".splitlines()[0])
    text = "the server failed at this request and says why on its terminal; try again"
    return JSONResponse({"error": text}, 500)


async def _invalid(_: fastapi.Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": f"{first['loc'][-1]}={first['input']}: {first['msg']}"}, 422)
