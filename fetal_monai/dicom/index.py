"""A folder of DICOM files as a table: SOPInstanceUID to path, frames, modality and size, from headers alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.dicom.header import read_header
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault, Limits
from fetal_monai.errors import InputError


@dataclass(frozen=True)
class IndexEntry:
    """What the index knows of one file.

    Args:
        path: the file.
        sop_instance_uid: its SOPInstanceUID.
        frames: number of frames; 0 where the file has no pixels (a report, for example).
        modality: Modality, "US" for ultrasound.
        rows: height of a frame in pixels, 0 without pixels.
        columns: width of a frame in pixels, 0 without pixels.
        study: StudyInstanceUID.
    """

    path: str
    sop_instance_uid: str
    frames: int
    modality: str
    rows: int
    columns: int
    study: str = ""


@dataclass(frozen=True)
class DicomIndex(Mapping[str, IndexEntry]):
    """SOPInstanceUID -> `IndexEntry`, in the order of the paths.

    Args:
        entries: the table.
        unreadable: path -> why it is not in the table (not DICOM, damaged, no UID).
        duplicates: paths whose SOPInstanceUID another file already has.
    """

    entries: Mapping[str, IndexEntry]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()

    def __getitem__(self, uid: str) -> IndexEntry:
        return self.entries[uid]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def index_file(path: str | PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> IndexEntry | str:
    """Read one file's header.

    Args:
        path: the file.
        limits: caps against hostile or broken files.

    Returns:
        Its entry, or why there is none.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:  # noqa: PTH123  # a hundred thousand Path objects are not free
            header = read_header(file, limits)
        data = header.dataset
        uid = str(data.get("SOPInstanceUID") or "").strip()
        if not uid:
            return "it has no SOPInstanceUID"
        pixels = header.pixel_offset is not None
        return IndexEntry(
            path=name,
            sop_instance_uid=uid,
            frames=_count(data.get("NumberOfFrames"), 1) if pixels else 0,
            modality=str(data.get("Modality") or "").strip(),
            rows=_count(data.get("Rows"), 0) if pixels else 0,
            columns=_count(data.get("Columns"), 0) if pixels else 0,
            study=str(data.get("StudyInstanceUID") or "").strip(),
        )
    except Fault as fault:
        return fault.cause
    except Exception as error:  # noqa: BLE001  # a damaged header can break a parser anywhere; the index goes on
        return f"it is damaged: {type(error).__name__}: {str(error)[:200]}"


def _count(value: Any, default: int) -> int:
    return int(value) if value not in (None, "") else default


def index_dicom(folder: str | PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> DicomIndex:
    """Index every file below a folder.

    Args:
        folder: where to look; hidden files and folders are passed over.
        limits: caps against hostile or broken files.

    Returns:
        The index.

    Raises:
        InputError: if there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(root, ["there is no such folder; give the folder with the DICOM files"])
    entries: dict[str, IndexEntry] = {}
    unreadable: dict[str, str] = {}
    duplicates: list[str] = []
    for path in sorted(_files(root)):
        found = index_file(path, limits=limits)
        if isinstance(found, str):
            unreadable[path] = found
        elif found.sop_instance_uid in entries:
            duplicates.append(path)
        else:
            entries[found.sop_instance_uid] = found
    return DicomIndex(entries, unreadable, tuple(duplicates))


def _files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield os.path.join(folder, name)  # noqa: PTH118  # os.walk gives strings
