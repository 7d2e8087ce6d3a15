"""From a name in a CSV to a DICOM file or a picture, and the frames that it may be asked for."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import cached_property
from os import PathLike
from pathlib import Path

from fetal_monai.data.image_names import bare, names_picture, path_parts
from fetal_monai.data.paths_by_name import PathsByName
from fetal_monai.dicom import DicomIndex, IndexEntry, index_dicom
from fetal_monai.dicom.duplicates import ANOTHER_IMAGE, FIND_OUT, namesake
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.index import index_file, remedy

_SHOWN = 3


class FileLookup:
    """Find DICOM files by their path, or the SOPInstanceUID in their headers, at any depth below a folder.

    Of a path its last parts are enough, the file name alone, too, as long as one file has them. PNG and JPEG are found
    by their path below the folder.

    Names come from a file that somebody typed, so they are only ever compared with what the folder holds, never
    joined to a path.

    Args:
        folder: where the files are.
        pool: processes to index them by, see `index_dicom`.
        index: of the folder, where there is one already.

    Raises:
        InputError: if there is no such folder.
    """

    def __init__(
        self, folder: str | PathLike[str], *, pool: Executor | None = None, index: DicomIndex | None = None
    ) -> None:
        self.folder = folder
        self.index = index = index_dicom(folder, pool=pool) if index is None else index
        self._last: tuple[str, IndexEntry] | None = None
        self.pictures = {
            Path(path).relative_to(folder).as_posix(): path for path in index.unreadable if names_picture(path)
        }

    def find(self, name: str, frame: int) -> str:
        """Find a frame.

        Args:
            name: a SOPInstanceUID, path or file name, with or without `.dcm`; of a picture its path below the folder.
            frame: zero-based, or -1 for a still.

        Returns:
            The path of the file.

        Raises:
            LookupError: with what is wrong and what to do, unless one file has the name, and the frame.
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
            name: as `find` takes it.

        Returns:
            The path of the file.

        Raises:
            LookupError: with what is wrong and what to do, unless one file has the name.
        """
        return self._picture(name) if names_picture(name) else self._entry(name).path

    def _picture(self, name: str) -> str:
        path = self.pictures.get("/".join(path_parts(name)))
        if path is None:
            raise LookupError(f"there is no picture '{name}' below {self.folder}; add it, or correct its path there")
        return path

    def _entry(self, name: str) -> IndexEntry:
        if self._last is None or self._last[0] != name:  # many rows name one clip after another
            self._last = name, self._find_entry(name)
        return self._last[1]

    def _find_entry(self, name: str) -> IndexEntry:
        by_uid = self.index.get(bare(Path(name).name))
        if by_uid is not None and "/" not in name:
            return by_uid
        paths = self._paths.find(name, _SHOWN + 1)
        if len(paths) == 1 and (uid := self._uids.get(paths[0])) is not None:
            return self.index[uid]
        if by_uid is not None:
            return by_uid  # a UID is that of one image, wherever the table says that it lies
        if len(paths) == 1:
            return self._copied(name, paths[0])
        if (entry := self._only_image(name, paths)) is not None:
            return entry
        if paths:
            raise LookupError(
                f"several files below {self.folder} are named '{name}' ({self._listed(paths)}); "
                "give the path below the folder, or the SOPInstanceUID"
            )
        there = self._paths.find(Path(name).name, _SHOWN + 1)
        otherwise = f", or correct its path ({self._listed(there)})" if there else ""
        problem = f"no file is named '{name}' or has that SOPInstanceUID below {self.folder}; add it{otherwise}"
        raise LookupError(problem)

    def _only_image(self, name: str, paths: list[str]) -> IndexEntry | None:
        """The one image of which all these files are copies; None if there are several, or too many files to say."""
        firsts = [uid for path in paths if (uid := self._uids.get(path)) is not None]
        if len(firsts) != 1 or len(paths) > _SHOWN or not self._copies.issuperset({*paths} - self._uids.keys()):
            return None
        entry = self.index[firsts[0]]
        others = (self._copied(name, path) for path in paths if path not in self._uids)
        return entry if all(other == entry for other in others) else None

    def _copied(self, name: str, path: str) -> IndexEntry:
        """The entry that counts in the place of a file that has none."""
        if (reason := self.index.unreadable.get(path)) is not None:
            raise LookupError(f"the file of '{name}' cannot be read ({reason}); {remedy(reason, 'copy it again')}")
        if other := namesake(path, self.index):
            raise LookupError(f"{path}: {ANOTHER_IMAGE}, {other}; {FIND_OUT}")
        copy = index_file(path)
        entry = None if isinstance(copy, str) else self.index.get(copy.sop_instance_uid)
        if entry is None:
            raise LookupError(f"{path} has changed since the folder was read; try again")
        return entry

    @cached_property
    def _uids(self) -> dict[str, str]:
        return {entry.path: entry.sop_instance_uid for entry in self.index.values()}

    @cached_property
    def _copies(self) -> frozenset[str]:
        return frozenset(self.index.duplicates)

    @cached_property
    def _paths(self) -> PathsByName:
        return PathsByName(self.folder, [*self._uids, *self.index.duplicates, *self.index.unreadable])

    def _listed(self, paths: list[str]) -> str:
        """A few paths below the folder, as a table may name them."""
        below = [Path(path).relative_to(self.folder) for path in paths[:_SHOWN]]
        shown = [path.as_posix() if path.parent.name else f"./{path}" for path in below]
        return ", ".join([*shown, "..."] if len(paths) > _SHOWN else shown)


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
