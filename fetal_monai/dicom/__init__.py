"""DICOM in: one frame of an ultrasound instance, its regions and its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetal_monai.dicom.frame_ref import FrameRef
from fetal_monai.dicom.index import DicomIndex, index_dicom
from fetal_monai.dicom.index_entry import IndexEntry
from fetal_monai.dicom.instance import UltrasoundInstance, iter_frames
from fetal_monai.dicom.limits import Limits
from fetal_monai.dicom.picture import open_image, read_frame
from fetal_monai.dicom.regions import Region, regions_from_meta

if TYPE_CHECKING:
    from fetal_monai.dicom.reader import UltrasoundReader

__all__ = [
    "DicomIndex",
    "FrameRef",
    "IndexEntry",
    "Limits",
    "Region",
    "UltrasoundInstance",
    "UltrasoundReader",
    "index_dicom",
    "iter_frames",
    "open_image",
    "read_frame",
    "regions_from_meta",
]


def __getattr__(name: str) -> Any:
    # The reader needs MONAI, which takes seconds to import; indexing and the isolated decoder do without it.
    if name == "UltrasoundReader":
        from fetal_monai.dicom.reader import UltrasoundReader  # noqa: PLC0415

        return UltrasoundReader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
