"""What the operators hand on: the ultrasound of one study, and what the model says of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom import Dataset

from fetal_monai.dicom import FrameRef
from fetal_monai.inference import Prediction, ReadFailure


@dataclass(frozen=True)
class UltrasoundStudy:
    """The ultrasound images of one study.

    Args:
        uid: its Study Instance UID.
        frames: every frame of every instance, still or clip; the pixels stay in the files.
        headers: of the instances, without pixels, by SOP Instance UID.
        failures: instances that cannot be read, and why.
    """

    uid: str
    frames: list[FrameRef] = field(default_factory=list)
    headers: dict[str, Dataset] = field(default_factory=dict)
    failures: list[ReadFailure] = field(default_factory=list)


@dataclass(frozen=True)
class ClassifiedStudy:
    """A study and its predictions.

    Args:
        study: as it was found.
        predictions: one for each frame that could be read, in the order of the frames.
        failures: those of the study, and frames that could not be decoded.
    """

    study: UltrasoundStudy
    predictions: list[Prediction]
    failures: list[ReadFailure]
