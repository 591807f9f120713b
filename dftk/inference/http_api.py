"""The detector over HTTP: POST an image, get JSON."""

from typing import Any

import fastapi
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

import dftk
from dftk.inference.service import Service
from dftk.inference.uploads import Refused

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            **{
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/jpeg", "image/png", "image/gif", "image/bmp")
            },
        },
    },
    "responses": {
        "4XX": {"description": '{"error": a sentence}: what is wrong with the image'},
        "503": {"description": '{"error": a sentence}: too many images wait'},
    },
}


def application(service: Service) -> fastapi.FastAPI:
    """The routes under /api; errors are JSON with one sentence."""
    # The usual pages of documentation fetch scripts from the network; openapi.json is enough.
    app = fastapi.FastAPI(
        title="dftk", version=dftk.__version__, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json",
    )  # fmt: skip

    @app.post("/api/predict", openapi_extra=_BODY)
    async def predict(request: fastapi.Request) -> JSONResponse:
        """How likely an image is fake: one file of a form, or the image's bytes as the body."""
        try:
            filename, data = await _upload(request)
        except Refused as error:
            return JSONResponse({"error": str(error)}, error.status)
        verdict = await run_in_threadpool(service.judge, filename, data)
        if verdict.error:
            return JSONResponse({"filename": filename, "error": verdict.error}, verdict.status)
        answer = {
            "filename": filename,
            "probability": verdict.probability,
            "label": verdict.label(service.threshold),
            "threshold": service.threshold,
            "model": service.provenance.name,
        }
        return JSONResponse(answer)

    @app.get("/api/model")
    def model() -> dict[str, Any]:
        """What the model was trained on and how often it errs; null where nobody measured."""
        return service.provenance.as_dict(service.threshold)

    @app.get("/api/health")
    def health() -> dict[str, str]:
        """Answers as long as the server does."""
        return {"status": "ok", "model": service.provenance.name}

    @app.exception_handler(HTTPException)
    def failed(_: fastapi.Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    return app


async def _upload(request: fastapi.Request) -> tuple[str, bytes]:
    """The name and bytes of the one file in the request.

    Raises:
      Refused: a form without a file, or with several.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return "", await request.body()
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            if len(files) != 1:
                raise Refused(422, "the form has no file; send one, curl -F file=@photo.jpg")
            return files[0].filename or "", await files[0].read()
    except HTTPException as error:  # what Starlette raises on a form that is none, or has more
        raise Refused(400, f"not a form with one file: {error.detail}") from None
