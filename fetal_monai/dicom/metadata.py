"""Facts of an instance that travel with its pixels: flat, of fixed keys and types, so that MONAI can collate them."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue

from fetal_monai.dicom.element_values import text
from fetal_monai.dicom.frame_times import constant_frame_time, positive
from fetal_monai.dicom.pixel_layout import PixelLayout
from fetal_monai.dicom.regions import main_picture, read_regions, regions_to_text

_TEXTS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "Modality", "Manufacturer")
_IDENTIFYING = ("PatientID", "PatientName", "PatientBirthDate", "AccessionNumber", "StudyDate")


def frame_metadata(dataset: Dataset, layout: PixelLayout, *, frame: int, identifiers: bool = False) -> dict[str, Any]:
    """Describe one frame.

    Args:
        dataset: its header.
        layout: the checked description of its pixels.
        frame: zero-based frame, -1 for a still.
        identifiers: whether to add the elements that identify the patient.

    Returns:
        Strings, integers, floats and arrays only, with the same keys for every file: what is unknown is "" or NaN.
        `patient` is a digest of PatientID: equal for one patient's images, so that splits can respect it, and not the
        id itself, though whoever tries all ids finds it. `affine` (3, 3) carries the pixel spacing in mm where
        `spacing_known` is 1.
    """
    regions = read_regions(dataset)
    spacing = _spacing(dataset, main_picture(regions))
    meta: dict[str, Any] = {
        **{keyword: text(dataset, keyword) for keyword in _TEXTS},
        "model": text(dataset, "ManufacturerModelName"),
        "patient": _patient(dataset),
        "frame": frame,
        "frames": layout.frames,
        "frame_time_ms": _frame_time(dataset),
        "photometric": layout.photometric,
        "regions": regions_to_text(regions),
        "spacing_known": int(spacing is not None),
        "original_channel_dim": 0,
        "spatial_shape": np.array([layout.rows, layout.columns]),
        "affine": np.diag([*(spacing or (1.0, 1.0)), 1.0]),
    }
    if identifiers:
        meta.update({keyword: text(dataset, keyword) for keyword in _IDENTIFYING})
    return meta


def _patient(dataset: Dataset) -> str:
    """A digest of PatientID: of its bytes where they are no text, so that two such ids stay two."""
    stored = dataset.get_item("PatientID") if "PatientID" in dataset else None
    patient = text(dataset, "PatientID")
    if not patient:
        return ""
    raw = stored.value if isinstance(stored, RawDataElement) else None
    content = raw.strip(b" \0") if "\ufffd" in patient and isinstance(raw, bytes) else patient.encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _spacing(dataset: Dataset, region: Any) -> tuple[float, float] | None:
    if region is not None and region.spacing_mm:
        return region.spacing_mm  # type: ignore[no-any-return]
    value = dataset.get("PixelSpacing")
    try:
        row, column = (float(number) for number in value or ())
    except (TypeError, ValueError):
        return None
    return (row, column) if all(math.isfinite(step) and step > 0 for step in (row, column)) else None


def _frame_time(dataset: Dataset) -> float:
    """Milliseconds between frames, on average where they vary; NaN where unknown."""
    vector = dataset.get("FrameTimeVector")
    if isinstance(vector, (list, MultiValue)) and len(vector) > 1:
        return float(np.mean([positive(step) for step in vector[1:]]))
    return constant_frame_time(dataset)
