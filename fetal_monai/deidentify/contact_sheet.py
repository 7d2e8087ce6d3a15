"""What a person looks over before the files go anywhere: every file as it now is, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from fetal_monai.deidentify.instance_writer import Written
from fetal_monai.dicom.instance import UltrasoundInstance
from fetal_monai.utils.files import atomic_path

PAGE, PICTURES = "contact_sheet.html", "contact_sheet"
_LONGEST = 640
_TEMPLATE = Path(__file__).parent / "templates" / "contact_sheet.html"


def draw_pictures(written: Written, out: Path) -> list[str]:
    """Draw a file: its frame, or for a clip its first one and the brightest value of each pixel in all of them.

    A letter that is shown in any frame is in the second picture.

    Args:
        written: the de-identified file.
        out: the folder of the results; pictures go to `out/contact_sheet`.

    Returns:
        The pictures, relative to `out`.

    Raises:
        DicomReadError: if the file cannot be read back.
        OSError: if a picture cannot be written.
    """
    with UltrasoundInstance(written.path) as instance:
        first = instance.frame(0)
        pictures = [first]
        if len(instance) > 1:
            brightest = first.copy()
            for frame in instance:
                np.maximum(brightest, frame, out=brightest)
            pictures.append(brightest)
    names = [f"{PICTURES}/{written.uid}{suffix}.jpg" for suffix in ("", "_all")[: len(pictures)]]
    for name, picture in zip(names, pictures, strict=True):
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(_jpeg(picture))
    return names


def _jpeg(planes: NDArray[np.uint8]) -> bytes:
    bgr: Any = np.ascontiguousarray(planes.transpose(1, 2, 0)[..., ::-1])
    scale = _LONGEST / max(bgr.shape[:2])
    if scale < 1:
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def write_contact_sheet(shown: Sequence[tuple[Written, Sequence[str]]], out: Path) -> Path:
    """Write the page; files of which only the banner is blanked come first.

    Args:
        shown: the files, each with its pictures as `draw_pictures` returned them.
        out: the folder of the results.

    Returns:
        The page.

    Raises:
        OSError: if it cannot be written.
    """
    order = sorted(shown, key=lambda item: (item[0].declared, item[0].study_uid))
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    page = out / PAGE
    with atomic_path(page) as temporary:
        temporary.write_text(template.render(files=order, unsure=sum(not one.declared for one, _ in order)), "utf-8")
    return page
