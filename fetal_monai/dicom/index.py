"""A folder of DICOM files as a table: SOPInstanceUID to path, frames, modality and size, from headers alone."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path

from tqdm import tqdm

from fetal_monai.dicom.element_values import integer, text
from fetal_monai.dicom.header import read_header
from fetal_monai.dicom.index_cache import IndexEntry, Stamp, open_cache
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault, Limits
from fetal_monai.errors import InputError

AUTO_CACHE = 1000
"""From this many files on an index is remembered without being asked."""

MANY = 2_000
"""From so many files on processes are worth their start."""
DUPLICATE = "its SOPInstanceUID is that of another file, no smaller"
"""Why a file of `DicomIndex.duplicates` is passed over."""
_CHUNK = 32
_BATCH = 512


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


def remedy(reason: str, otherwise: str) -> str:
    """What to do about a path that is not in an index.

    Args:
        reason: of `DicomIndex.unreadable`.
        otherwise: the remedy for files whose bytes are at fault.

    Returns:
        The remedy.

    Example:
        >>> remedy(Unreachable("it cannot be read: Permission denied"), "copy it again")
        'check its rights, or what it links to'
    """
    return "check its rights, or what it links to" if isinstance(reason, Unreachable) else otherwise


@dataclass(frozen=True)
class DicomIndex(Mapping[str, IndexEntry]):
    """SOPInstanceUID -> `IndexEntry`, in the order of the paths.

    Args:
        entries: the table.
        unreadable: path -> why it is not in the table (not DICOM, damaged, no UID); an `Unreachable` for files, links
            and folders that the system does not let be read.
        duplicates: paths whose SOPInstanceUID another file has, too. The largest file stands in the table, of equal
            ones the first: a copy that was cut off is smaller.
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
        uid = text(data, "SOPInstanceUID")
        if not uid:
            return "it has no SOPInstanceUID"
        pixels = header.pixel_offset is not None
        return IndexEntry(
            path=name,
            sop_instance_uid=uid,
            frames=integer(data, "NumberOfFrames", 1, 0, limits.max_frames) if pixels else 0,
            modality=sys.intern(text(data, "Modality")),
            rows=integer(data, "Rows", 0, 0, 65535) if pixels else 0,
            columns=integer(data, "Columns", 0, 0, 65535) if pixels else 0,
            study=sys.intern(text(data, "StudyInstanceUID")),
        )
    except Fault as fault:
        return fault.cause
    except OSError as error:
        return Unreachable.of(error)
    except Exception as error:  # noqa: BLE001  # a damaged header can break a parser anywhere; the index goes on
        return f"it is damaged: {type(error).__name__}: {str(error)[:200]}"


def index_dicom(
    folder: str | PathLike[str],
    *,
    cache: str | PathLike[str] | bool | None = None,
    workers: int = 8,
    pool: Executor | None = None,
    progress: bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> DicomIndex:
    """Index every file below a folder, reading the headers of those that are new or changed since the last time.

    Args:
        folder: where to look; hidden files and folders are passed over, links to folders followed.
        cache: a file to remember the index in; True for one in the user's cache folder, which is also what None means
            from 1,000 files on; False for none. It holds paths and UIDs. Several processes may share it.
        workers: threads that read; the waiting is for the disk.
        pool: processes that read instead, where there are `MANY` files or more: on a fast disk parsing takes the time.
        progress: whether to show a bar; by default for many files on a terminal.
        limits: caps against hostile or broken files.

    Returns:
        The index; the same whatever the cache and the number of workers.

    Raises:
        InputError: if there is no such folder.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> index = index_dicom(Path(get_testdata_file("CT_small.dcm")).parent / "dicomdirtests")
        >>> {entry.modality for entry in index.values()} == {"CR", "CT", "MR"}
        True
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(root, ["there is no such folder; give the folder with the DICOM files"])
    listed = dict(sorted(list_files(root)))
    stamps = {path: stamp for path, stamp in listed.items() if not isinstance(stamp, Unreachable)}
    if cache is None:
        cache = len(stamps) >= AUTO_CACHE
    with open_cache(root, cache) as memory:
        known = memory.load()
        found = {path: known[path][1] for path, stamp in stamps.items() if path in known and known[path][0] == stamp}
        memory.forget(known.keys() - stamps.keys())
        fresh = [path for path in stamps if path not in found]
        batch: dict[str, tuple[Stamp, IndexEntry | str]] = {}
        for path, result in _read(fresh, workers=workers, pool=pool, progress=progress, limits=limits):
            found[path] = result
            if not isinstance(result, Unreachable):
                batch[path] = stamps[path], result
            if len(batch) >= _BATCH:
                memory.store(batch)
                batch = {}
        memory.store(batch)
    return _assemble(
        {path: stamp if isinstance(stamp, Unreachable) else found[path] for path, stamp in listed.items()},
        {path: size for path, (size, _) in stamps.items()},
    )


def _read(
    paths: list[str], *, workers: int, pool: Executor | None, progress: bool | None, limits: Limits
) -> Iterator[tuple[str, IndexEntry | str]]:
    shown = len(paths) >= AUTO_CACHE and sys.stderr.isatty() if progress is None else progress
    read = partial(index_file, limits=limits)
    with ThreadPoolExecutor(max(workers, 1)) as threads, tqdm(total=len(paths), disable=not shown, unit="file") as bar:
        chosen = threads if pool is None or len(paths) < MANY else pool
        for start in range(0, len(paths), _BATCH):  # so that an interrupt need not wait for a hundred thousand
            some = paths[start : start + _BATCH]
            for path, result in zip(some, chosen.map(read, some, chunksize=_CHUNK), strict=True):
                bar.update()
                yield path, result


def _assemble(found: Mapping[str, IndexEntry | str], sizes: Mapping[str, int]) -> DicomIndex:
    chosen: dict[str, str] = {}
    for path, result in found.items():
        if not isinstance(result, str):
            best = chosen.setdefault(result.sop_instance_uid, path)
            if sizes[path] > sizes[best]:
                chosen[result.sop_instance_uid] = path
    entries: dict[str, IndexEntry] = {}
    unreadable: dict[str, str] = {}
    duplicates: list[str] = []
    for path, result in found.items():
        if isinstance(result, str):
            unreadable[path] = result
        elif chosen[result.sop_instance_uid] != path:
            duplicates.append(path)
        else:
            entries[result.sop_instance_uid] = result
    return DicomIndex(entries, unreadable, tuple(duplicates))


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
                yield entry.path, (facts.st_size, facts.st_mtime_ns)
