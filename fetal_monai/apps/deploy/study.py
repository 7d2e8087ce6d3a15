"""What the operators hand on: the ultrasound of one study, and what the model says of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom import Dataset

from fetal_monai.inference import ReadFailure
from fetal_monai.study.study import Study


@dataclass(frozen=True)
class UltrasoundStudy:
    """The ultrasound images of one study.

    Args:
        uid: its Study Instance UID.
        stills: files with one frame; the pixels stay in the files.
        clips: file -> number of frames.
        headers: of the instances, without pixels, by SOP Instance UID.
        failures: instances that cannot be read, and why.
    """

    uid: str
    stills: list[str] = field(default_factory=list)
    clips: dict[str, int] = field(default_factory=dict)
    headers: dict[str, Dataset] = field(default_factory=dict)
    failures: list[ReadFailure] = field(default_factory=list)


@dataclass(frozen=True)
class ClassifiedStudy:
    """A study, and what the model found in it.

    Args:
        found: the study, analysed; its failures are those of the files, and of frames that could not be decoded.
        headers: of its instances, by SOP Instance UID.
    """

    found: Study
    headers: dict[str, Dataset]
