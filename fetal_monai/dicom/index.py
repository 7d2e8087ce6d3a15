"""A folder of DICOM files as a table: SOPInstanceUID to path, frames, modality and size, from headers alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fetal_monai.dicom.element_values import integer, text
from fetal_monai.dicom.folder_listing import ListedFiles, Stamp, Unreachable, list_files
from fetal_monai.dicom.header import read_header
from fetal_monai.dicom.index_cache import NoCache, open_cache
from fetal_monai.dicom.index_entry import EntryTable, IndexEntry
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault, Limits
from fetal_monai.errors import InputError
from fetal_monai.utils.one_ahead import one_ahead

AUTO_CACHE = 1000
"""From this many files on an index is remembered without being asked."""

MANY = 2_000
"""From so many files on processes are worth their start."""
DUPLICATE = "its SOPInstanceUID is that of another file, no smaller"
"""Why a file of `DicomIndex.duplicates` is passed over."""
_CHUNK = 32
_BATCH = 512


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

    def values(self) -> ValuesView[IndexEntry]:
        """The entries, in order, without a search for each."""
        return self.entries.values()


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
    unreadable: dict[str, str] = {}
    listed = ListedFiles(_reachable(root, unreadable))
    with open_cache(root, len(listed) >= AUTO_CACHE if cache is None else cache) as memory:
        fresh = len(listed) - memory.count()  # about so many; a folder hardly changes between two runs
        shown = fresh >= AUTO_CACHE and sys.stderr.isatty() if progress is None else progress
        with (
            ThreadPoolExecutor(max(workers, 1)) as threads,
            tqdm(total=len(listed), disable=not shown, unit="file") as bar,
        ):
            chosen = threads if pool is None or fresh < MANY else pool
            read = partial(index_file, limits=limits)
            entries = EntryTable(_readable(_results(listed, memory, chosen, read, bar), unreadable))
    return DicomIndex(entries, dict(sorted(unreadable.items())), entries.duplicates)


def _reachable(root: Path, unreadable: dict[str, str]) -> Iterator[tuple[str, Stamp]]:
    """Yield files with their stamps, and put what cannot be read or followed into the dictionary."""
    for path, stamp in list_files(root):
        if isinstance(stamp, Unreachable):
            unreadable[path] = stamp
        else:
            yield path, stamp


def _readable(
    results: Iterable[tuple[str, int, IndexEntry | str]], unreadable: dict[str, str]
) -> Iterator[tuple[IndexEntry, int]]:
    """Yield entries with the sizes of their files, and put the reasons of all other files into the dictionary."""
    for path, size, result in results:
        if isinstance(result, str):
            unreadable[path] = result if isinstance(result, Unreachable) else sys.intern(result)
        else:
            yield result, size


def _results(
    listed: ListedFiles, memory: NoCache, pool: Executor, read: Callable[[str], IndexEntry | str], bar: tqdm[Any]
) -> Iterator[tuple[str, int, IndexEntry | str]]:
    """Yield path, size and result of each file in order, as they were remembered or are read now."""
    last = ""
    for stamps, known, reading in one_ahead(_begun(listed, memory, pool, read)):
        results = dict(reading)
        memory.store(
            {path: (stamps[path], result) for path, result in results.items() if not isinstance(result, Unreachable)}
        )
        for path, (size, _) in stamps.items():
            yield path, size, results[path] if path in results else known[path]
        bar.update(len(stamps))
        last = next(reversed(stamps))
    memory.forget(memory.load(last, None))


def _begun(
    listed: ListedFiles, memory: NoCache, pool: Executor, read: Callable[[str], IndexEntry | str]
) -> Iterator[tuple[dict[str, Stamp], dict[str, IndexEntry | str], Iterator[tuple[str, IndexEntry | str]]]]:
    """Yield files in batches, so that an interrupt need not wait for all: their stamps, what is known, what is read."""
    files, before = iter(listed), ""
    while stamps := dict(islice(files, _BATCH)):
        last = next(reversed(stamps))
        known = memory.load(before, last)
        memory.forget(known.keys() - stamps.keys())
        found = {path: result for path, (stamp, result) in known.items() if stamps.get(path) == stamp}
        fresh = [path for path in stamps if path not in found]
        yield stamps, found, zip(fresh, pool.map(read, fresh, chunksize=_CHUNK), strict=True)
        before = last
