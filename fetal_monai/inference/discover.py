"""Which images are meant by the files and folders that a person names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from fetal_monai.data.frames import ULTRASOUND_MODALITIES
from fetal_monai.dicom import FrameRef, IndexEntry, index_dicom
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.index import index_file
from fetal_monai.dicom.picture import PICTURE_SUFFIXES, is_picture
from fetal_monai.errors import InputError
from fetal_monai.inference.prediction import ReadFailure

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


@dataclass(frozen=True)
class FoundImages:
    """What there is to classify.

    Args:
        frames: each image once, in the order of the inputs and of their paths.
        failures: files that look like images and cannot be read.
        passed_over: files that are not ultrasound images, or repeat an instance, and why.
    """

    frames: list[FrameRef]
    failures: list[ReadFailure]
    passed_over: dict[str, str]


def find_images(inputs: Iterable[str | PathLike[str]]) -> FoundImages:
    """Find every ultrasound frame, PNG and JPEG below folders, and take files as they are named.

    In a folder, DICOM files of other modalities and other files are passed over; a file named by itself is taken
    whatever its modality.

    Args:
        inputs: files and folders.

    Returns:
        The images; a file named twice counts once.

    Raises:
        InputError: if an input does not exist, or nothing is found at all.
    """
    paths = [Path(item) for item in inputs]
    missing = [f"{path} does not exist; check the spelling" for path in paths if not path.exists()]
    if missing:
        raise InputError("input", missing)
    search = _Search()
    for path in paths:
        if path.is_dir():
            search.folder(path)
        else:
            search.file(path)
    if not search.frames and not search.failures:
        problem = (
            f"no ultrasound image among {len(search.passed_over)} files; give DICOM files of modality US, PNG or JPEG "
            "pictures, or a folder of them"
        )
        raise InputError(", ".join(map(str, paths)), [problem])
    return FoundImages(search.frames, search.failures, search.passed_over)


class _Search:
    """The images found so far, and what must not be found twice."""

    def __init__(self) -> None:
        self.frames: list[FrameRef] = []
        self.failures: list[ReadFailure] = []
        self.passed_over: dict[str, str] = {}
        self._paths: set[Path] = set()
        self._uids: dict[str, str] = {}

    def file(self, path: Path) -> None:
        """Take one file, whatever it is."""
        if self._is_new(path):
            if is_picture(path):
                self.frames.append(FrameRef(str(path)))
            else:
                entry = index_file(path)
                if isinstance(entry, str):
                    self._fail(path, f"{entry}; give a DICOM, PNG or JPEG file")
                elif not entry.frames:
                    self._fail(path, "it holds no image; give an ultrasound instance")
                else:
                    self._take(entry)

    def folder(self, folder: Path) -> None:
        """Take the ultrasound instances and the pictures below a folder."""
        index = index_dicom(folder)
        for entry in index.values():
            if not self._is_new(Path(entry.path)):
                continue
            if entry.modality in ULTRASOUND_MODALITIES and entry.frames:
                self._take(entry)
            elif entry.frames:
                self.passed_over[entry.path] = f"DICOM images of modality {entry.modality or 'unknown'}"
            else:
                cut = "; if it should be an image, it is cut off: copy it again"
                hint = cut if entry.modality in ULTRASOUND_MODALITIES else ""
                self.passed_over[entry.path] = f"DICOM of modality {entry.modality or 'unknown'} without images{hint}"
        for name in index.duplicates:
            self.passed_over[name] = "its SOPInstanceUID is another file's: each image counts once"
        for name, reason in index.unreadable.items():
            path = Path(name)
            if self._is_new(path):
                if path.suffix.lower() in PICTURE_SUFFIXES and is_picture(path):
                    self.frames.append(FrameRef(str(path)))
                elif meant_as_image(path):
                    self._fail(path, f"{reason}; export it again, or take it out of the folder")
                else:
                    self.passed_over[str(path)] = "not DICOM"

    def _is_new(self, path: Path) -> bool:
        resolved = path.resolve()
        new = resolved not in self._paths
        self._paths.add(resolved)
        return new

    def _fail(self, path: Path, reason: str) -> None:
        self.failures.append(ReadFailure(str(path), f"{path}: {reason}"))

    def _take(self, entry: IndexEntry) -> None:
        first = self._uids.setdefault(entry.sop_instance_uid, entry.path)
        if first != entry.path:
            self.passed_over[entry.path] = f"its SOPInstanceUID is that of {first}: each image counts once"
            return
        indices = [STILL] if entry.frames == 1 else range(entry.frames)
        self.frames.extend(FrameRef(entry.path, index) for index in indices)


def meant_as_image(path: Path) -> bool:
    """Whether a file that cannot be read as DICOM looks as if it should be.

    Args:
        path: the file.

    Returns:
        True by its suffix, its magic, or because it cannot even be opened.
    """
    if path.name == "DICOMDIR":
        return False
    if path.suffix.lower() in DICOM_SUFFIXES | PICTURE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            file.seek(128, os.SEEK_SET)
            return file.read(4) == b"DICM"
    except OSError:
        return True
