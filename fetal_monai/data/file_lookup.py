"""From a name in a CSV to a DICOM file or a picture, and the frames that it may be asked for."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import cached_property
from os import PathLike
from pathlib import Path, PurePosixPath

from fetal_monai.data.row_problems import names_picture
from fetal_monai.dicom import IndexEntry, index_dicom
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.index import remedy


class FileLookup:
    """Find DICOM files by file name or by the SOPInstanceUID in their headers, at any depth below a folder.

    PNG and JPEG are found by their path below the folder.

    Names come from a file that somebody typed, so they are only ever compared with what the folder holds, never
    joined to a path.

    Args:
        folder: where the files are.
        pool: processes to index them by, see `index_dicom`.

    Raises:
        InputError: if there is no such folder.
    """

    def __init__(self, folder: str | PathLike[str], *, pool: Executor | None = None) -> None:
        self.folder = folder
        self.index = index = index_dicom(folder, pool=pool)
        self._last: tuple[str, IndexEntry] | None = None
        self._unreadable = {_bare(Path(path).name): reason for path, reason in index.unreadable.items()}
        self.pictures = {
            Path(path).relative_to(folder).as_posix(): path for path in index.unreadable if names_picture(path)
        }

    def find(self, name: str, frame: int) -> str:
        """Find a frame.

        Args:
            name: a SOPInstanceUID or file name, with or without `.dcm`; or the path of a picture below the folder.
            frame: zero-based, or -1 for a still.

        Returns:
            The path of the file.

        Raises:
            LookupError: with what is wrong and what to do, if there is no such file or no such frame in it.
        """
        if names_picture(name):
            if frame > 0:
                raise LookupError(f"frame {frame} is out of range: '{name}' is a picture; use frame -1")
            return self._picture(name)
        entry = self._entry(name)
        _check_frame(entry, frame)
        return entry.path

    def file(self, name: str) -> str:
        """Find a file, whatever its frames.

        Args:
            name: a SOPInstanceUID or file name, with or without `.dcm`.

        Returns:
            The path of the file.

        Raises:
            LookupError: with what is wrong and what to do, if there is no such file.
        """
        return self._picture(name) if names_picture(name) else self._entry(name).path

    def _picture(self, name: str) -> str:
        path = self.pictures.get(PurePosixPath(name).as_posix())
        if path is None:
            raise LookupError(f"there is no picture '{name}' below {self.folder}; add it, or correct its path there")
        return path

    @cached_property
    def _by_name(self) -> dict[str, str]:
        return {_bare(Path(entry.path).name): entry.sop_instance_uid for entry in self.index.values()}

    def _entry(self, name: str) -> IndexEntry:
        if self._last is None or self._last[0] != name:  # many rows name one clip after another
            self._last = name, self._find_entry(name)
        return self._last[1]

    def _find_entry(self, name: str) -> IndexEntry:
        bare = _bare(Path(name).name)
        entry = self.index.get(bare) or self.index.get(self._by_name.get(bare, ""))
        if entry is None:
            if (reason := self._unreadable.get(bare)) is not None:
                raise LookupError(f"the file of '{name}' cannot be read ({reason}); {remedy(reason, 'copy it again')}")
            raise LookupError(f"no file is named '{name}' or has that SOPInstanceUID below {self.folder}; add it")
        return entry


def _bare(name: str) -> str:
    return name[: -len(".dcm")] if name.lower().endswith(".dcm") else name


def _check_frame(entry: IndexEntry, frame: int) -> None:
    if entry.frames == 0:
        kind = f"DICOM of modality {entry.modality or 'unknown'}"
        raise LookupError(f"{entry.path} ({kind}) has no image; copy it again if it is cut off, else remove the row")
    if entry.frames == 1 and frame > 0:
        raise LookupError(f"frame {frame} is out of range: {entry.path} is a still; use frame -1")
    if entry.frames > 1 and frame == STILL:
        raise LookupError(f"{entry.path} is a clip of {entry.frames} frames; say which, 0 to {entry.frames - 1}")
    if frame >= entry.frames:
        raise LookupError(f"frame {frame} is out of range: {entry.path} has frames 0 to {entry.frames - 1}")
