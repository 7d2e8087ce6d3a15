"""Annotations, data lists and data sets."""

from fetal_monai.data.annotations import class_counts, load_datalists, read_annotations
from fetal_monai.data.frames import list_frames

__all__ = ["class_counts", "list_frames", "load_datalists", "read_annotations"]
