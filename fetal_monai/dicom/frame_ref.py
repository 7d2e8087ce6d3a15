"""The address of one image: a DICOM file and a frame in it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

STILL = -1


@dataclass(frozen=True)
class FrameRef(PathLike[str]):
    """One frame of one DICOM file, usable wherever a path is.

    MONAI's `LoadImaged(expanduser=False)` hands it to the reader untouched, and it can be pickled and hashed,
    so DataLoader workers and `PersistentDataset` keep working.

    Args:
        path: the DICOM file.
        frame: zero-based frame of a clip, or -1 (`STILL`) for a single-frame instance.

    Example:
        >>> import os
        >>> os.fspath(FrameRef("clip.dcm", 7))
        'clip.dcm'
    """

    path: str
    frame: int = STILL

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path if self.frame == STILL else f"{self.path}#{self.frame}"
