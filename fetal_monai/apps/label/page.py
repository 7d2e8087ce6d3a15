"""The labelling page, and what guards the server that it runs on."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.utils.app import app_instance

from fetal_monai.apps.label.app import MODEL, FetalPlanesApp
from fetal_monai.apps.label.datastore import UltrasoundDatastore
from fetal_monai.dicom import read_frame
from fetal_monai.errors import FetalMonaiError
from fetal_monai.model.facts import NOTICE

KEYS = "1234567890qwertyuiopasdfghjklzxcvbnm"
"""One key per class, in their order; commands use none of these."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_page(web: FastAPI, port: int) -> None:
    """Add the labelling page, error answers and guards to MONAI Label's server, before it starts.

    Args:
        web: `monailabel.app.app`.
        port: on which it will listen.
    """
    _add_guards(web, port)
    _add_error_answers(web)

    @web.get("/labelling/config")
    def config() -> dict[str, Any]:
        store = _datastore()
        return {
            "model": MODEL,
            "notice": NOTICE,
            "studies": store.name(),
            "strategies": list(app_instance().info()["strategies"]),
            "classes": [
                {"name": name, "key": KEYS[index] if index < len(KEYS) else ""}
                for index, name in enumerate(store.class_names)
            ],
        }

    @web.get("/labelling/image")
    def image(image: str) -> dict[str, Any]:
        store = _datastore()
        labels = store.labels().get(image)
        return {
            "image": image,
            "frames": store.image(image).frames,
            "labels": [] if labels is None else [{"frame": k, "class": name} for k, name in labels.frames.items()],
        }

    @web.get("/labelling/frame")
    def frame(image: str, frame: int = -1) -> Response:
        file = _datastore().image(image)
        reference = file.reference(frame)
        if file.picture:
            return Response(Path(file.path).read_bytes(), media_type=mimetypes.guess_type(file.path)[0])
        pixels = read_frame(reference)
        done, content = cv2.imencode(".png", np.ascontiguousarray(pixels.transpose(1, 2, 0)[..., ::-1]))
        if not done:
            raise HTTPException(422, f"frame {frame} of {image} cannot be shown")
        return Response(content.tobytes(), media_type="image/png")

    @web.get("/labelling/key_frames")
    def key_frames(image: str) -> dict[str, Any]:
        # Not async: it takes seconds, in a thread of its own, while labelling goes on.
        app: FetalPlanesApp = app_instance()
        found = app.key_frames.find(_datastore().image(image))
        return {"image": image, "key_frames": [asdict(key_frame) for key_frame in found]}

    @web.get("/labelling/annotations.csv")
    def annotations() -> Response:
        return Response(_datastore().to_csv(), media_type="text/csv; charset=utf-8")

    web.mount("/labelling", StaticFiles(directory=Path(__file__).parent / "static", html=True), name="labelling")


def _datastore() -> UltrasoundDatastore:
    store: UltrasoundDatastore = app_instance().datastore()
    return store


def _add_guards(web: FastAPI, port: int) -> None:
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    origins = {f"http://{host}" for host in hosts}

    @web.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer neither another web site's requests nor a name that was bent to point here (DNS rebinding)."""
        origin = request.headers.get("origin")
        if request.headers.get("host") not in hosts or (origin is not None and origin not in origins):
            return JSONResponse({"detail": "only pages of this server may ask it"}, status_code=403)
        response = await call_next(request)
        if request.url.path.startswith("/labelling"):
            response.headers.update(SECURITY_HEADERS)
        return response


def _add_error_answers(web: FastAPI) -> None:
    @web.exception_handler(FetalMonaiError)
    def ours(_: Request, error: FetalMonaiError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    @web.exception_handler(MONAILabelException)
    def theirs(_: Request, error: MONAILabelException) -> JSONResponse:
        return JSONResponse({"detail": error.msg}, status_code=400)

    @web.exception_handler(OSError)
    def disk(_: Request, error: OSError) -> JSONResponse:
        detail = f"this could not be written or read: {error.strerror or error}; make room and try again"
        return JSONResponse({"detail": detail}, status_code=507)
