"""Annotations, data lists and data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetal_monai.data.annotations import class_counts, load_datalists, read_annotations
from fetal_monai.data.frames import list_frames
from fetal_monai.utils.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from fetal_monai.data.checks import check_headers
    from fetal_monai.data.frame_dataset import FrameDataset

__all__ = ["FrameDataset", "check_headers", "class_counts", "list_frames", "load_datalists", "read_annotations"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "FrameDataset": "fetal_monai.data.frame_dataset:FrameDataset",
        "check_headers": "fetal_monai.data.checks:check_headers",
    },
)
