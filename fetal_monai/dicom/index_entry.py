"""What an index knows of a file, and a table of many in the memory of their columns."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass

import numpy as np

from fetal_monai.utils.packed_strings import PackedStrings


@dataclass(frozen=True, slots=True)
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


class EntryTable(Mapping[str, IndexEntry]):
    """SOPInstanceUID -> `IndexEntry`, in the order in which they were given.

    Of several files with one SOPInstanceUID the largest counts, of equal ones the first: a copy that was cut off is
    smaller. A hundred bytes an entry beside its path, so that an archive's index fits; entries are made as they are
    asked for.

    Args:
        entries: each with the size of its file in bytes.

    Attributes:
        duplicates: the paths that do not count, in their order.

    Example:
        >>> table = EntryTable([(IndexEntry("cut.dcm", "1.2", 1, "US", 8, 8), 90), (IndexEntry("a.dcm", "1.2", 1, "US",
        ...     8, 8), 99)])
        >>> table["1.2"].path, table.duplicates
        ('a.dcm', ('cut.dcm',))
    """

    def __init__(self, entries: Iterable[tuple[IndexEntry, int]]) -> None:
        self._paths, self._uids = PackedStrings(), PackedStrings()
        self._numbers = array("i")  # frames, rows, columns and number of the kind: four of each entry
        self._kinds: dict[tuple[str, str], int] = {}  # modality and study
        digests, sizes = array("Q"), array("q")
        for entry, size in entries:
            kind = self._kinds.setdefault((entry.modality, entry.study), len(self._kinds))
            self._paths.append(entry.path)
            self._uids.append(entry.sop_instance_uid)
            self._numbers.extend((entry.frames, entry.rows, entry.columns, kind))
            digests.append(_digest(entry.sop_instance_uid))
            sizes.append(size)
        self._kind = list(self._kinds)
        found = np.frombuffer(digests, np.uint64)
        self._order = np.argsort(found, kind="stable").astype(np.int32)
        self._sorted = found[self._order]
        self._passed_over = self._smaller(sizes)
        self.duplicates = tuple(self._paths[position] for position in sorted(self._passed_over))

    def _smaller(self, sizes: array[int]) -> frozenset[int]:
        """The positions of entries that another counts for."""
        smaller = set[int]()
        best: dict[str, int] = {}
        alike = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        for position in self._order[np.union1d(alike, alike + 1)].tolist():
            first = best.setdefault(self._uids[position], position)
            if first != position:
                kept, left = (position, first) if sizes[position] > sizes[first] else (first, position)
                best[self._uids[position]] = kept
                smaller.add(left)
        return frozenset(smaller)

    def _entry(self, position: int) -> IndexEntry:
        frames, rows, columns, kind = self._numbers[4 * position : 4 * position + 4]
        modality, study = self._kind[kind]
        return IndexEntry(self._paths[position], self._uids[position], frames, modality, rows, columns, study)

    def _positions(self) -> Iterator[int]:
        return (position for position in range(len(self._uids)) if position not in self._passed_over)

    def __getitem__(self, uid: str) -> IndexEntry:
        digest = np.uint64(_digest(uid))
        place = int(np.searchsorted(self._sorted, digest))
        while place < len(self._sorted) and self._sorted[place] == digest:
            position = int(self._order[place])
            if position not in self._passed_over and self._uids[position] == uid:
                return self._entry(position)
            place += 1
        raise KeyError(uid)

    def __iter__(self) -> Iterator[str]:
        return (self._uids[position] for position in self._positions())

    def __len__(self) -> int:
        return len(self._uids) - len(self._passed_over)

    def values(self) -> ValuesView[IndexEntry]:
        """The entries, in order, without a search for each."""
        return _Entries(self)

    def items(self) -> ItemsView[str, IndexEntry]:
        """SOPInstanceUIDs with their entries, likewise."""
        return _Items(self)

    def entries(self) -> Iterator[IndexEntry]:
        """Make each entry in turn."""
        return (self._entry(position) for position in self._positions())


class _Entries(ValuesView[IndexEntry]):
    def __init__(self, table: EntryTable) -> None:
        super().__init__(table)
        self._table = table

    def __iter__(self) -> Iterator[IndexEntry]:
        return self._table.entries()


class _Items(ItemsView[str, IndexEntry]):
    def __init__(self, table: EntryTable) -> None:
        super().__init__(table)
        self._table = table

    def __iter__(self) -> Iterator[tuple[str, IndexEntry]]:
        return ((entry.sop_instance_uid, entry) for entry in self._table.entries())


def _digest(uid: str) -> int:
    """A number for a UID, the same in every process."""
    return int.from_bytes(hashlib.blake2b(uid.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
