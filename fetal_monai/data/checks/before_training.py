"""The quick part of the check, before a training: what the headers say that the table of labels does not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fetal_monai.data.checks.confounding import device_by_class
from fetal_monai.data.checks.image_table import ImageTable, Listed
from fetal_monai.data.checks.images import WORKERS
from fetal_monai.data.checks.leaks import header_leaks
from fetal_monai.data.file_facts import FileFacts, read_file_facts
from fetal_monai.dicom.picture import is_picture
from fetal_monai.errors import DicomReadError, InputError

logger = logging.getLogger(__name__)


def check_headers(datalists: Mapping[str, Iterable[Mapping[str, Any]]], *, allow_patient_overlap: bool = False) -> None:
    """Hold the splits to the patients and devices in the headers; no pixel is decoded.

    A patient or study in two splits stops the training where the table of labels names no patients, for then nothing
    else would have found it; where it does, the table is believed, and this is a warning. So is a device that gives the
    class away. Pictures have no headers, and files that cannot be read are found when they are loaded.

    Args:
        datalists: of `load_datalists`.
        allow_patient_overlap: go on, with a warning.

    Raises:
        InputError: for patients that stand in two splits.

    Example:
        >>> check_headers({"train": [], "val": [], "test": []})
    """
    listed = [
        Listed(item["image"], 0, split, item["class"], item["patient_id"], item["device"])
        for split, items in datalists.items()
        for item in items
    ]
    paths = sorted({each.image.path for each in listed})
    with ThreadPoolExecutor(WORKERS) as pool:
        facts = {path: found for path, found in zip(paths, pool.map(_facts, paths), strict=True) if found is not None}
    seen = ImageTable()
    for each in sorted(listed, key=lambda each: (each.image.path, each.image.frame)):  # a path is kept once
        if each.image.path in facts:
            seen.add(each, facts[each.image.path])
    leaks = header_leaks(seen)
    if not any(each.patient for each in listed) and not allow_patient_overlap:
        errors = [leak.text for leak in leaks if leak.level == "error"]
        if errors:
            remedy = "set allow_patient_overlap to go on, and distrust the metrics"
            raise InputError("the headers of the images", [*errors, remedy])
    for finding in [*leaks, *device_by_class(seen)]:
        logger.warning("%s (`fetal-monai check` tells more)", finding.text)


def _facts(path: str) -> FileFacts | None:
    try:
        return None if is_picture(path) else read_file_facts(path)
    except DicomReadError:
        return None  # reported, with its row, where it is loaded
