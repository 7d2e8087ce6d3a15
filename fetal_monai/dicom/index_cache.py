"""The index on disk: one SQLite file per folder, shared by as many processes as like."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from os import PathLike
from pathlib import Path

from fetal_monai.dicom.folder_listing import Stamp
from fetal_monai.dicom.index_entry import IndexEntry

logger = logging.getLogger(__name__)

_VERSION = 3
_FIELDS = attrgetter("sop_instance_uid", "frames", "modality", "rows", "columns", "study")
_CREATE = """
CREATE TABLE IF NOT EXISTS entries (
  path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, reason TEXT,
  uid TEXT, frames INTEGER, modality TEXT, rows INTEGER, columns INTEGER, study TEXT
)
"""


class NoCache:
    """A memory that remembers nothing."""

    def stamps(self) -> Iterator[tuple[str, Stamp]]:
        """None."""
        return iter(())

    def load(self, after: str, last: str | None) -> dict[str, tuple[Stamp, IndexEntry | str]]:  # noqa: ARG002
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
                    connection.execute("DROP TABLE IF EXISTS files")  # of version 1
                    connection.execute("DROP TABLE IF EXISTS entries")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
                connection.execute(_CREATE)
                connection.execute("SELECT path, size, changed, reason, uid, study FROM entries LIMIT 1").fetchone()
                _refuse_damage(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def stamps(self) -> Iterator[tuple[str, Stamp]]:
        """Paths in order, and the stamps that they had."""
        rows = self._connection.execute("SELECT path, size, changed FROM entries ORDER BY path")
        return ((_path(key), (size, changed)) for key, size, changed in rows)

    def load(self, after: str, last: str | None) -> dict[str, tuple[Stamp, IndexEntry | str]]:
        """What is known of a stretch of paths.

        Args:
            after: the path before it; "" for none.
            last: the last of it; None for no end.

        Returns:
            Path -> (stamp, entry or reason).
        """
        end = "" if last is None else "AND path <= ?"
        borders = [_key(path) for path in (after, last) if path is not None]
        rows = self._connection.execute(f"SELECT * FROM entries WHERE path > ? {end}", borders)  # noqa: S608  # our own
        found: dict[str, tuple[Stamp, IndexEntry | str]] = {}
        for key, size, changed, reason, *fields in rows:
            path = _path(key)
            found[path] = (size, changed), IndexEntry(path, *fields) if reason is None else reason
        return found

    def store(self, results: Mapping[str, tuple[Stamp, IndexEntry | str]]) -> None:
        """Add or replace results."""
        rows = [
            (_key(path), *stamp, result, *[None] * 6)
            if isinstance(result, str)
            else (_key(path), *stamp, None, *_FIELDS(result))
            for path, (stamp, result) in results.items()
        ]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?,?,?)", rows)

    def forget(self, paths: Iterable[str]) -> None:
        """Drop the rows of files that are gone."""
        with self._connection:
            self._connection.executemany("DELETE FROM entries WHERE path = ?", [(_key(path),) for path in paths])


def _refuse_damage(connection: sqlite3.Connection) -> None:
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)


def _key(path: str) -> bytes:
    """A path as bytes, for it need not be UTF-8; they sort as paths do."""
    return path.encode("utf-8", "surrogatepass")


def _path(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")


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
    digest = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    return base / "fetal_monai" / f"index-{digest}.sqlite"
