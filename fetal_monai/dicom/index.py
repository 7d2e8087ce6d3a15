"""A folder of DICOM files as a table: SOPInstanceUID to path, frames, modality and size, from headers alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, ItemsView, Iterable, Iterator, Mapping, ValuesView
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from heapq import merge
from itertools import islice, pairwise
from os import PathLike
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fetal_monai.dicom.element_values import frame_count, integer, text
from fetal_monai.dicom.folder_listing import ListedFiles, Stamp, Unreachable, list_files
from fetal_monai.dicom.header import read_header
from fetal_monai.dicom.index_cache import NoCache, open_cache
from fetal_monai.dicom.index_entry import EntryTable, IndexEntry
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Fault, Limits
from fetal_monai.errors import InputError
from fetal_monai.utils.work_ahead import work_ahead

AUTO_CACHE = 1000
"""From this many files on an index is remembered without being asked."""

MANY = 2_000
"""From so many files on processes are worth their start."""
DUPLICATE = "its SOPInstanceUID is that of another file, no smaller"
"""Why a file of `DicomIndex.duplicates` is passed over."""
_OF_A_THREAD, _OF_A_PROCESS = 8, 32  # files that are read at once
_AHEAD = 16
_BATCH = 512  # results that are remembered at once


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

    def items(self) -> ItemsView[str, IndexEntry]:
        """SOPInstanceUIDs with their entries, likewise."""
        return self.entries.items()


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
        if not uid[0].isalnum():
            return "its SOPInstanceUID is no UID"  # but a formula, perhaps, for whoever opens a table with it
        pixels = header.pixel_offset is not None
        return IndexEntry(
            path=name,
            sop_instance_uid=uid,
            frames=frame_count(data, limits.max_frames) if pixels else 0,
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
        fresh = len(listed) - sum(one == other for one, other in pairwise(merge(listed, memory.stamps())))
        shown = fresh >= AUTO_CACHE and sys.stderr.isatty() if progress is None else progress
        with (
            ThreadPoolExecutor(max(workers, 1)) as threads,
            tqdm(total=len(listed), disable=not shown, unit="file") as bar,
        ):
            chosen, chunk = (threads, _OF_A_THREAD) if pool is None or fresh < MANY else (pool, _OF_A_PROCESS)
            tasks = _tasks(listed, memory, chunk, limits)
            with closing(work_ahead(chosen, tasks, _AHEAD)) as done, closing(_results(done, memory, bar)) as results:
                entries = EntryTable(_readable(results, unreadable))
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


Known = tuple[dict[str, Stamp], dict[str, "IndexEntry | str"]]
"""Files with their stamps, and what is known of those that have not changed."""


def _tasks(
    listed: ListedFiles, memory: NoCache, chunk: int, limits: Limits
) -> Iterator[tuple[Known, Callable[[], dict[str, IndexEntry | str]]]]:
    """Yield some files at a time, and how to read those of them that are new or changed."""
    files, before = iter(listed), ""
    while stamps := dict(islice(files, chunk)):
        last = next(reversed(stamps))
        remembered = memory.load(before, last)
        memory.forget(remembered.keys() - stamps.keys())
        known = {path: result for path, (stamp, result) in remembered.items() if stamps.get(path) == stamp}
        fresh = [path for path in stamps if path not in known]
        yield (stamps, known), partial(_read, fresh, limits)
        before = last
    memory.forget(memory.load(before, None))


def _read(paths: list[str], limits: Limits) -> dict[str, IndexEntry | str]:
    return {path: index_file(path, limits=limits) for path in paths}


def _results(
    done: Iterable[tuple[Known, dict[str, IndexEntry | str]]], memory: NoCache, bar: tqdm[Any]
) -> Generator[tuple[str, int, IndexEntry | str], None, None]:
    """Yield path, size and result of each file in order, and remember what was read, also before an interrupt."""
    unsaved: dict[str, tuple[Stamp, IndexEntry | str]] = {}
    try:
        for (stamps, known), read in done:
            unsaved |= {
                path: (stamps[path], result) for path, result in read.items() if not isinstance(result, Unreachable)
            }
            if len(unsaved) >= _BATCH:
                memory.store(unsaved)
                unsaved = {}
            for path, (size, _) in stamps.items():
                yield path, size, read[path] if path in read else known[path]
            bar.update(len(stamps))
    finally:
        memory.store(unsaved)
