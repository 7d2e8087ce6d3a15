"""Which images are meant by the files and folders that a person names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from fetal_monai.data.frames import ULTRASOUND_MODALITIES
from fetal_monai.dicom import FrameRef, IndexEntry, index_dicom
from fetal_monai.dicom.duplicates import ANOTHER_IMAGE, FIND_OUT, is_another_image
from fetal_monai.dicom.folder_listing import Unreachable
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.index import DUPLICATE, index_file, remedy
from fetal_monai.dicom.picture import PICTURE_SUFFIXES, is_picture
from fetal_monai.errors import InputError
from fetal_monai.inference.prediction import ReadFailure

REMEDY = "export it again, or take it out of the folder"
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
        self._images: dict[str, list[FrameRef]] = {}
        self.failures: list[ReadFailure] = []
        self.passed_over: dict[str, str] = {}
        self._paths: set[str] = set()
        self._uids: dict[str, str] = {}

    @property
    def frames(self) -> list[FrameRef]:
        """Each image once."""
        return [frame for frames in self._images.values() for frame in frames]

    def file(self, path: Path) -> None:
        """Take one file, whatever it is."""
        if self._is_new(path):
            self._sort_in(str(path), judge_named(str(path)))

    def folder(self, folder: Path) -> None:
        """Take the ultrasound instances and the pictures below a folder."""
        index = index_dicom(folder)
        for entry in index.values():
            if self._is_new(Path(entry.path)):
                self._sort_in(entry.path, judge(entry.path, entry))
        for name in index.duplicates:
            if not self._is_new(Path(name)):
                continue
            judged = judge(name, index_file(name))
            if isinstance(judged, ImagesOfFile) and (kept := index.get(judged.uid or "")):
                self._pass_over(name, kept.path, f"{DUPLICATE}: each image counts once")
            else:
                self._sort_in(name, judged)
        for name, reason in index.unreadable.items():
            if self._is_new(Path(name)):
                self._sort_in(name, judge(name, reason))

    def _is_new(self, path: Path) -> bool:
        resolved = os.path.realpath(path)  # unlike Path.resolve, it does not mind a link to itself
        new = resolved not in self._paths
        self._paths.add(resolved)
        return new

    def _sort_in(self, path: str, judged: ImagesOfFile | ReadFailure | str) -> None:
        if isinstance(judged, ReadFailure):
            self.failures.append(judged)
        elif isinstance(judged, str):
            self.passed_over[path] = judged
        elif judged.uid is not None and (first := self._uids.setdefault(judged.uid, path)) != path:
            kept, left = (path, first) if _size(path) > _size(first) else (first, path)  # a cut-off copy is smaller
            self._uids[judged.uid] = kept
            self._images.pop(left, None)
            self._images.setdefault(kept, judged.frames)
            self._pass_over(left, kept, f"its SOPInstanceUID is that of {kept}, no smaller: each image counts once")
        else:
            self._images[path] = judged.frames

    def _pass_over(self, path: str, kept: str, reason: str) -> None:
        """Pass over a copy of an image; a file that only has the UID of another one is a failure."""
        if is_another_image(path, kept):
            self.failures.append(ReadFailure(path, f"{path}: {ANOTHER_IMAGE}, {kept}; {FIND_OUT}"))
        else:
            self.passed_over[path] = reason


class ImagesOfFile(NamedTuple):
    """What a file holds.

    Args:
        frames: each image.
        uid: SOPInstanceUID; None for a picture.
    """

    frames: list[FrameRef]
    uid: str | None = None


def judge(path: str, found: IndexEntry | str) -> ImagesOfFile | ReadFailure | str:
    """Say what a file that was found in a folder is good for.

    Args:
        path: the file.
        found: what `index_file` says of it.

    Returns:
        Its images, if it is ultrasound or a picture; or why it cannot be read; or why it is passed over.
    """
    if isinstance(found, str):
        if Path(path).suffix.lower() in PICTURE_SUFFIXES and is_picture(path):
            return ImagesOfFile([FrameRef(path)])
        if isinstance(found, Unreachable) or meant_as_image(Path(path)):
            return ReadFailure(path, f"{path}: {found}; {remedy(found, REMEDY)}")
        return "not DICOM"
    if found.modality in ULTRASOUND_MODALITIES and found.frames:
        return _images(found)
    if found.frames:
        return f"DICOM images of modality {found.modality or 'unknown'}"
    cut = "; if it should be an image, it is cut off: copy it again"
    hint = cut if found.modality in ULTRASOUND_MODALITIES else ""
    return f"DICOM of modality {found.modality or 'unknown'} without images{hint}"


def judge_named(path: str) -> ImagesOfFile | ReadFailure:
    """Say what a file that was named by itself is good for: any modality will do.

    Args:
        path: the file.

    Returns:
        Its images; or why it cannot be read.
    """
    if is_picture(path):
        return ImagesOfFile([FrameRef(path)])
    entry = index_file(path)
    if isinstance(entry, str):
        return ReadFailure(path, f"{path}: {entry}; {remedy(entry, 'give a DICOM, PNG or JPEG file')}")
    if not entry.frames:
        return ReadFailure(path, f"{path}: it holds no image; give an ultrasound instance")
    return _images(entry)


def _images(entry: IndexEntry) -> ImagesOfFile:
    indices = [STILL] if entry.frames == 1 else range(entry.frames)
    return ImagesOfFile([FrameRef(entry.path, index) for index in indices], entry.sop_instance_uid)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:  # it vanished meanwhile
        return 0


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
