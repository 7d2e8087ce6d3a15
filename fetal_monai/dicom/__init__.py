"""DICOM in: one frame of an ultrasound instance, its regions and its facts."""

from fetal_monai.dicom.frame_ref import FrameRef

__all__ = ["FrameRef"]
