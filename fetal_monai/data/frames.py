"""Data lists without labels: every ultrasound frame and picture below a folder."""

from __future__ import annotations

from os import PathLike
from typing import Any

from fetal_monai.data.image_names import names_picture
from fetal_monai.dicom import DicomIndex, FrameRef, index_dicom
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.picture import is_picture
from fetal_monai.errors import InputError

ULTRASOUND_MODALITIES = ("US", "IVUS")


def list_frames(folder: str | PathLike[str]) -> list[dict[str, Any]]:
    """List every frame of every ultrasound instance, and every PNG and JPEG, below a folder.

    Args:
        folder: where the images are.

    Returns:
        Items with `image` (a `FrameRef`), `SOPInstanceUID` (of a picture its path) and `frame` (-1 for stills).

    Raises:
        InputError: if there is no such folder, or nothing of ultrasound in it.
    """
    index = index_dicom(folder)
    items = [
        {"image": FrameRef(entry.path, frame), "SOPInstanceUID": uid, "frame": frame}
        for uid, entry in index.items()
        if entry.modality in ULTRASOUND_MODALITIES
        for frame in ([STILL] if entry.frames == 1 else range(entry.frames))
    ]
    items += [{"image": FrameRef(path), "SOPInstanceUID": path, "frame": STILL} for path in pictures_of(index)]
    if not items:
        problem = (
            f"no ultrasound image among {len(index)} DICOM files and {len(index.unreadable)} others; "
            "give the folder of a study with Modality US, or of PNG or JPEG pictures"
        )
        raise InputError(folder, [problem])
    return items


def pictures_of(index: DicomIndex) -> list[str]:
    """Name the PNG and JPEG files, by suffix and content, that an index came by.

    Args:
        index: of a folder.

    Returns:
        Their paths.
    """
    return [path for path in index.unreadable if names_picture(path) and is_picture(path)]
