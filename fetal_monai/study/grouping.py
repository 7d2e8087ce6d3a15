"""Which files belong together: those of one study of one patient."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from fetal_monai.dicom import UltrasoundInstance
from fetal_monai.dicom.picture import is_picture
from fetal_monai.errors import DicomReadError
from fetal_monai.inference.discover import FoundImages
from fetal_monai.inference.prediction import ReadFailure


@dataclass(frozen=True)
class StudyFiles:
    """The files of one study of one patient.

    Args:
        name: what it is called where people read: its folder. It names no patient unless the folder does.
        study_instance_uid: None for pictures and for DICOM files that name no study.
        stills: files with one frame, and pictures.
        clips: file -> number of frames.
        passed_over: file -> why it is not looked at; those that lie in folders of this study alone.
        warnings: what is odd about it.
    """

    name: str
    study_instance_uid: str | None
    stills: tuple[str, ...] = ()
    clips: dict[str, int] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Gathered:
    """A study while its files are found."""

    name: str
    study_instance_uid: str | None
    stills: list[str] = field(default_factory=list)
    clips: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)


def group_studies(found: FoundImages) -> tuple[list[StudyFiles], list[ReadFailure]]:
    """Put files together that are of one study and one patient; pictures, and DICOM without a study, by their folder.

    Args:
        found: the images.

    Returns:
        Studies in the order of their first files, and the DICOM files whose header cannot be read.
    """
    gathered: dict[tuple[str, str], _Gathered] = {}
    patients: dict[str, set[str]] = defaultdict(set)
    failures = list[ReadFailure]()
    for path, frames in groupby(found.frames, key=lambda frame: frame.path):
        count = sum(1 for _ in frames)
        folder = _folder(path)
        study = patient = ""
        if not is_picture(path):
            try:
                with UltrasoundInstance(path) as instance:
                    meta = instance.metadata(0)
            except DicomReadError as error:
                failures.append(ReadFailure(path, str(error)))
                continue
            study, patient = str(meta["StudyInstanceUID"]), str(meta["patient"])
            if study:
                patients[study].add(patient)
        files = gathered.setdefault((study or folder, patient), _Gathered(Path(folder).name or "study", study or None))
        if count > 1:
            files.clips[path] = count
        else:
            files.stills.append(path)
        files.folders.add(folder)
    beside = _beside(gathered.values(), found.passed_over)
    return [
        StudyFiles(
            files.name,
            files.study_instance_uid,
            tuple(files.stills),
            files.clips,
            {path: why for folder in sorted(files.folders) for path, why in beside.get(folder, {}).items()},
            _warnings(len(patients[files.study_instance_uid or ""])),
        )
        for files in gathered.values()
    ], failures


def _folder(path: str) -> str:
    # Where it was found, not where a link in it points: each may have a folder of its own in a store of files.
    return os.path.realpath(os.path.dirname(path))  # noqa: PTH120  # Path objects are slow, and archives are large


def _beside(gathered: Iterable[_Gathered], passed_over: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The files passed over, by folder, where that holds one study and no other."""
    studies = Counter(folder for files in gathered for folder in files.folders)
    beside: dict[str, dict[str, str]] = {folder: {} for folder, count in studies.items() if count == 1}
    for path, why in passed_over.items():
        folder = _folder(path)
        if folder in beside:
            beside[folder][path] = why
    return beside


def _warnings(patients: int) -> tuple[str, ...]:
    mixed = f"{patients} patients have this StudyInstanceUID; their images are kept apart: look where they come from"
    return (mixed,) if patients > 1 else ()
