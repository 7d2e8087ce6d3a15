"""The index on disk: one SQLite file per folder, shared by as many processes as like."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from os import PathLike
from pathlib import Path

logger = logging.getLogger(__name__)

Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds: what tells a file from its former self."""

_VERSION = 1
_CREATE = """
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, reason TEXT,
  uid TEXT, frames INTEGER, modality TEXT, rows INTEGER, columns INTEGER, study TEXT
)
"""


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


class NoCache:
    """A memory that remembers nothing."""

    def load(self) -> dict[str, tuple[Stamp, IndexEntry | str]]:
        """Nothing."""
        return {}

    def store(self, results: Mapping[str, tuple[Stamp, IndexEntry | str]]) -> None:
        """Nothing is kept."""

    def forget(self, paths: Iterable[str]) -> None:
        """There is nothing to forget."""


class SqliteCache(NoCache):
    """Results in an SQLite file. Each batch is one transaction: a killed run leaves whole batches.

    Args:
        file: the database; it is made, or made anew when it is damaged or of another version.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open(file)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            file.unlink(missing_ok=True)
            self._connection = self._open(file)

    @staticmethod
    def _open(file: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(file, timeout=60)
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")  # two processes may create it at once
                if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                    connection.execute("DROP TABLE IF EXISTS files")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
                connection.execute(_CREATE)
                connection.execute("SELECT path, size, changed, reason, uid, study FROM files LIMIT 1").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def load(self) -> dict[str, tuple[Stamp, IndexEntry | str]]:
        """All that is known: path -> (stamp, entry or reason)."""
        rows = self._connection.execute("SELECT * FROM files")
        return {
            path: ((size, changed), IndexEntry(path, *fields) if reason is None else reason)
            for path, size, changed, reason, *fields in rows
        }

    def store(self, results: Mapping[str, tuple[Stamp, IndexEntry | str]]) -> None:
        """Add or replace results."""
        rows = [
            (path, *stamp, result, *[None] * 6)
            if isinstance(result, str)
            else (path, *stamp, None, *astuple(result)[1:])
            for path, (stamp, result) in results.items()
        ]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?,?,?)", rows)

    def forget(self, paths: Iterable[str]) -> None:
        """Drop the rows of files that are gone."""
        with self._connection:
            self._connection.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])


@contextmanager
def open_cache(folder: Path, cache: str | PathLike[str] | bool) -> Iterator[NoCache]:
    """Open the memory of a folder's index.

    Args:
        folder: the folder that is indexed.
        cache: a file, True for one in the user's cache folder, or False for none.

    Yields:
        The memory. Where the file cannot be used, a warning is logged and nothing is remembered.
    """
    if cache is False:
        yield NoCache()
        return
    file = default_cache(folder) if cache is True else Path(cache)
    try:
        memory = SqliteCache(file)
    except (OSError, sqlite3.Error) as error:
        logger.warning("the index is not remembered: %s cannot be used (%s)", file, error)
        yield NoCache()
        return
    try:
        yield memory
    finally:
        memory.close()


def default_cache(folder: Path) -> Path:
    """Where the index of a folder is remembered: below XDG_CACHE_HOME or ~/.cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    return base / "fetal_monai" / f"index-{digest}.sqlite"
