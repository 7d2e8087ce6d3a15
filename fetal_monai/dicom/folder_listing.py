"""The files of a folder, however many, and what of it the system does not let be read."""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from os import PathLike
from pathlib import Path

from fetal_monai.utils.packed_strings import PackedStrings

Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds: what tells a file from its former self."""

_RUN = 8192  # files that are sorted at once
_LATEST = 2**63 - 1  # nanoseconds: the year 2262, which a broken clock surpasses and no database holds


class Unreachable(str):
    """Why the system does not let a file or folder be read: not the fault of its bytes, and true for now only."""

    __slots__ = ()

    @classmethod
    def of(cls, error: OSError, what: str = "it") -> Unreachable:
        """The reason in words.

        Args:
            error: of the system.
            what: could not be read.

        Returns:
            The reason, without a remedy.
        """
        return cls(f"{what} cannot be read: {error.strerror or error}")


class ListedFiles:
    """Files with their stamps, in the order of their paths and in the memory of columns.

    They lie in sorted runs, which are merged as they are asked for: never are all paths in memory as strings.

    Args:
        files: paths and stamps, in any order.

    Example:
        >>> list(ListedFiles([("b.dcm", (2, 0)), ("a.dcm", (3, 0))]))
        [('a.dcm', (3, 0)), ('b.dcm', (2, 0))]
    """

    def __init__(self, files: Iterable[tuple[str, Stamp]]) -> None:
        some = iter(files)
        self._runs: list[tuple[PackedStrings, array[int], array[int]]] = []
        while run := sorted(islice(some, _RUN)):
            paths, stamps = zip(*run, strict=True)
            sizes, times = zip(*stamps, strict=True)
            self._runs.append((PackedStrings(paths), array("q", sizes), array("q", times)))

    def __len__(self) -> int:
        return sum(len(paths) for paths, _, _ in self._runs)

    def __iter__(self) -> Iterator[tuple[str, Stamp]]:
        return merge(*(zip(paths, zip(*stamps, strict=True), strict=True) for paths, *stamps in self._runs))


def list_files(root: str | PathLike[str]) -> Iterator[tuple[str, Stamp | Unreachable]]:
    """Yield every regular file below a folder as it is met, however many a folder holds: none is listed in memory.

    Args:
        root: where to look; hidden files and folders are passed over. Each folder is visited once: links to folders
            come last, and one to the root or above it is a loop.

    Yields:
        Its path, and its size with its time of change; also folders and links that cannot be followed, and why.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = Path(folder, "a.dcm").write_bytes(b"12"), Path(folder, ".hidden").write_bytes(b"")
        >>> [(path.rpartition(os.sep)[2], stamp[0]) for path, stamp in list_files(folder)]
        [('a.dcm', 2)]
    """
    visited = {_identity(above) for above in Path(root).resolve().parents}
    waiting = [os.fspath(root)]
    while waiting:
        inside = [waiting.pop(0)]
        while inside:
            folder = inside.pop()
            identity = _identity(folder)
            if identity in visited:
                continue
            visited.add(identity)
            folders, links = list[str](), list[str]()
            yield from _regular_files(folder, folders, links)
            inside += sorted(folders, reverse=True)
            waiting += sorted(links)


def _identity(folder: str | Path) -> tuple[int, int] | str:
    try:
        facts = os.stat(folder)  # noqa: PTH116
    except OSError:
        return str(folder)
    return facts.st_dev, facts.st_ino


def _regular_files(folder: str, folders: list[str], links: list[str]) -> Iterator[tuple[str, Stamp | Unreachable]]:
    """Yield the files of one folder; the folders in it, and the links to others, are put into the lists."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return  # it vanished meanwhile
    except OSError as error:
        yield folder, Unreachable.of(error, "the folder")
        return
    with entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(entry.path)
                    continue
                facts = entry.stat()
            except OSError as error:
                if entry.is_symlink():
                    yield entry.path, Unreachable.of(error, "what it links to")
                elif not isinstance(error, FileNotFoundError):  # else it vanished meanwhile
                    yield entry.path, Unreachable.of(error)
                continue
            if stat.S_ISREG(facts.st_mode):  # a pipe or a device would block
                yield entry.path, (facts.st_size, min(facts.st_mtime_ns, _LATEST))
