"""Where a data set comes from: a folder or a zip, read member by member in memory, within bounds.

Names that a table or an archive gives are only ever looked up among the names that are there, never joined to a path.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault
from fetal_monai.dicom.picture import PICTURE_SUFFIXES
from fetal_monai.errors import InputError

MAX_MEMBERS = 1_000_000
MAX_EXPANDED = 1 << 36  # 64 GiB, thirty times the largest archive that is known here
MAX_TABLE = 1 << 28
_REMEDY = "download or copy it again"


class Source(Protocol):
    """The files of a data set, wherever they lie.

    Args:
        path: the folder or the zip.
        names: what is in it, relative and with forward slashes, sorted; hidden files are left out.
    """

    path: Path
    names: tuple[str, ...]

    def read(self, name: str, limit: int = DEFAULT_LIMITS.max_frame_bytes) -> bytes:
        """Read one file whole.

        Args:
            name: one of `names`.
            limit: the most bytes that it may have.

        Returns:
            Its content.

        Raises:
            Fault: if it cannot be read, is damaged, or is larger.
        """
        ...


class FolderSource:
    """A folder, at any depth; links to folders are not followed.

    Args:
        path: the folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.txt").write_text("content")
        >>> source = FolderSource(folder)
        >>> source.names, source.read("a.txt")
        (('a.txt',), b'content')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._paths = dict(_walk(path))
        self.names = tuple(sorted(self._paths))

    def read(self, name: str, limit: int = DEFAULT_LIMITS.max_frame_bytes) -> bytes:
        """Read one file whole, see `Source.read`."""
        try:
            with self._paths[name].open("rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise Fault(f"it cannot be read ({error.strerror})", _REMEDY) from None
        return _within(content, limit)


class ZipSource:
    """A zip archive, of which nothing is extracted.

    Args:
        path: the archive.

    Raises:
        InputError: if it is no whole zip, or holds members that no honest archive holds: absolute paths, paths that
            lead outside, links, encrypted members, names that are there twice, or more than anybody could unpack.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise InputError(path, [f"is no folder and no whole zip ({error}); {_REMEDY}"]) from None
        try:
            self._members = self._checked()
        except InputError:
            self._archive.close()
            raise
        self.names = tuple(sorted(self._members))

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def read(self, name: str, limit: int = DEFAULT_LIMITS.max_frame_bytes) -> bytes:
        """Read one member whole, see `Source.read`."""
        try:
            with self._archive.open(self._members[name]) as file:
                content = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise Fault(f"its member of the zip is damaged ({error})", _REMEDY) from None
        return _within(content, limit)

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        infos = [info for info in self._archive.infolist() if not info.is_dir()]
        if len(infos) > MAX_MEMBERS or sum(info.file_size for info in infos) > MAX_EXPANDED:
            problem = f"would unfold to more than {MAX_MEMBERS:,} files or {MAX_EXPANDED >> 30} GiB"
            raise InputError(self.path, [f"{problem}; unpack it yourself if you trust it, and give the folder"])
        members: dict[str, zipfile.ZipInfo] = {}
        problems: list[str] = []
        for info in infos:
            name = info.orig_filename.replace("\\", "/")
            fault = _member_fault(info, name) or ("is there twice" if name in members else None)
            if fault:
                problems.append(f"member {info.orig_filename!r} {fault}; get the archive from its publisher")
            elif not _is_hidden(name):
                members[name] = info
        if problems:
            raise InputError(self.path, problems)
        return members


@contextmanager
def open_source(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a folder or a zip.

    Args:
        path: where it is.

    Yields:
        The source, open as long as the block runs.

    Raises:
        InputError: if there is no such thing, or the zip is refused, see `ZipSource`.
    """
    path = Path(path)
    if path.is_dir():
        yield FolderSource(path)
        return
    if not path.exists():
        raise InputError(path, ["there is no such folder or zip; give the archive as it was downloaded or unpacked"])
    source = ZipSource(path)
    try:
        yield source
    finally:
        source.close()


def read_table(source: Source, name: str) -> bytes:
    """Read a file of labels, without which nothing can be imported.

    Args:
        source: where it is.
        name: which it is.

    Returns:
        Its content.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return source.read(name, MAX_TABLE)
    except Fault as fault:
        raise InputError(source.path, [f"{name}: {fault}"]) from None


def pictures(source: Source) -> list[str]:
    """Name the files that are PNG or JPEG by their suffix, sorted.

    Args:
        source: where they are.

    Returns:
        The names.
    """
    return [name for name in source.names if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES]


def is_path_outside(name: str) -> bool:
    r"""Whether a name, taken for a path, would lead out of the folder that it is relative to.

    Args:
        name: as a table or an archive gives it.

    Returns:
        True for absolute paths, drives and `..`.

    Example:
        >>> [is_path_outside(name) for name in ("a/b.png", "/a.png", "a/../../b.png", "C:\\a.png")]
        [False, True, True, True]
    """
    plain = name.replace("\\", "/")
    return plain.startswith("/") or ".." in plain.split("/") or bool(re.match(r"[A-Za-z]:", plain))


def by_title(names: Iterable[str]) -> dict[str, str]:
    """Drop the folders that all names share: a zip often has one folder around everything.

    Args:
        names: some of a source's names.

    Returns:
        The full name of each shortened one.

    Example:
        >>> by_title(["set/a/1.png", "set/b/2.png"])
        {'a/1.png': 'set/a/1.png', 'b/2.png': 'set/b/2.png'}
    """
    paths = [PurePosixPath(name) for name in names]
    shared = 0
    for parts in zip(*(path.parent.parts for path in paths), strict=False):  # as deep as the shallowest
        if len(set(parts)) > 1:
            break
        shared += 1
    return {"/".join(path.parts[shared:]): path.as_posix() for path in paths}


def _member_fault(info: zipfile.ZipInfo, name: str) -> str | None:
    if is_path_outside(name) or "\0" in name:
        return "would be written outside of the folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 1:
        return "is encrypted"
    return None


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _within(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise Fault(f"it has more than {limit >> 20} MiB", "check that it is what its name says")
    return content


def _refuse(error: OSError) -> None:
    problem = f"the folder cannot be read ({error.strerror}); check its rights"
    raise InputError(error.filename, [problem]) from None


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(root, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            dangling = path.is_symlink() and not path.exists()  # it is told when it is read
            if not name.startswith(".") and (dangling or path.is_file()):  # no pipe or device, which would block
                relative = os.fsencode(path.relative_to(root).as_posix())
                yield relative.decode("utf-8", "backslashreplace"), path
