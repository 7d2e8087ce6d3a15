"""Two files with one SOPInstanceUID: a copy of an image, or two images that somebody gave one name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fetal_monai.dicom.element_values import text
from fetal_monai.dicom.header import read_header
from fetal_monai.dicom.index import index_file
from fetal_monai.dicom.index_entry import IndexEntry
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault

ANOTHER_IMAGE = "its SOPInstanceUID is that of another image"
"""Why a file cannot be used: whatever refers to the UID could mean either."""

FIND_OUT = "find out where they come from which of them is right, and give that one"
"""What to do about it."""

_IDENTITY = ("PatientID", "StudyInstanceUID", "Rows", "Columns")  # series are split and joined on the way


def is_another_image(path: str, kept: str) -> bool:
    """Say whether two files with one SOPInstanceUID hold different images.

    Args:
        path: of the file that would be passed over.
        kept: of the one that is used.

    Returns:
        True where patient, study, number of frames or size differ; False for copies, whole or cut off, also those that
        were compressed otherwise, and where a file can no longer be read.
    """
    identities = [_identity(name) for name in (path, kept)]
    return None not in identities and identities[0] != identities[1]


def namesake(path: str, index: Mapping[str, IndexEntry]) -> str | None:
    """Find the file of an index whose SOPInstanceUID a duplicate has although it holds another image.

    Args:
        path: of the duplicate.
        index: SOPInstanceUID -> entry.

    Returns:
        The file; None where the duplicate is a copy of it.
    """
    entry = index_file(path)
    kept = None if isinstance(entry, str) else index.get(entry.sop_instance_uid)
    return kept.path if kept is not None and is_another_image(path, kept.path) else None


def _identity(path: str) -> tuple[str, ...] | None:
    try:
        with Path(path).open("rb") as file:
            header = read_header(file, DEFAULT_LIMITS)
        if header.pixel_offset is None:
            return None  # no image, or cut off before it
        frames = text(header.dataset, "NumberOfFrames") or "1"
        return (*(text(header.dataset, keyword) for keyword in _IDENTITY), frames)
    except (Fault, OSError, ValueError, KeyError):
        return None
