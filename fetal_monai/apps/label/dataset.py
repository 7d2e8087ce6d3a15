"""What is labelled, to take home: `GET /datastore/dataset`, of which no copy stays on this disk."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import IO

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from monailabel.config import settings
from monailabel.interfaces.utils.app import app_instance

from fetal_monai.apps.label.datastore import CSV_FILE, UltrasoundDatastore
from fetal_monai.apps.label.file_names import file_name
from fetal_monai.apps.label.labels import ImageLabels, to_csv
from fetal_monai.errors import InputError

_PIECE = 1 << 18


def add_dataset(web: FastAPI) -> None:
    """Answer `GET /datastore/dataset` in MONAI Label's place, which leaves each ZIP file in the temporary folder.

    Args:
        web: `monailabel.app.app`.
    """
    from monailabel.endpoints.user.auth import RBAC  # noqa: PLC0415  # as late as MONAI Label's own endpoints

    def dataset(limit_cases: int | None = None) -> StreamingResponse:
        file = pack(app_instance().datastore(), limit_cases)
        headers = {
            "Content-Length": str(file.seek(0, os.SEEK_END)),
            "Content-Disposition": 'attachment; filename="dataset.zip"',
        }
        return StreamingResponse(_pieces(file), media_type="application/zip", headers=headers)

    allowed = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
    route = APIRoute("/datastore/dataset", dataset, dependencies=[allowed], include_in_schema=False)
    web.router.routes.insert(0, route)  # the first that fits answers


def pack(store: UltrasoundDatastore, limit_cases: int | None = None) -> IO[bytes]:
    """Pack labelled images, their labels and annotations.csv.

    Args:
        store: the images and labels.
        limit_cases: so many images at most; None takes all.

    Returns:
        A ZIP file without a name: it is gone when it is closed, and when this process ends, however that comes.

    Raises:
        InputError: if no image is labelled.
        FetalMonaiError: if an image cannot be had or read.
        OSError: if the disk refuses; nothing is left there.
    """
    chosen = sorted(store.labels().items())[: limit_cases or None]
    if not chosen:
        raise InputError(store.name(), ["no image is labelled yet, so there is nothing to pack"])
    rows: dict[str, ImageLabels] = {}
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        with zipfile.ZipFile(file, "w", strict_timestamps=False) as archive:
            for image_id, labels in chosen:
                image, name = store.image(image_id), file_name(image_id)
                member = f"image/{name}{'' if image.picture else '.dcm'}"
                rows[member if image.picture else image_id] = labels
                archive.write(image.path, member)
                archive.writestr(f"label/{name}.json", labels.to_json(store.class_names))
            archive.writestr(CSV_FILE, to_csv(rows, store.class_names))
        stack.pop_all()
    return file


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        yield from iter(partial(file.read, _PIECE), b"")
