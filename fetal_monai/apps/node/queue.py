"""What a node knows: objects, studies, reports and their delivery, in one SQLite file that survives a pulled plug.

A status page needs `Queue.studies`, `failures`, `deliveries`, `counters` and `retry`; it may open the file beside a
node that runs. Nothing here compares wall clocks: times are told to people, and waiting is counted by those who wait.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.apps.node.records import (
    CLOSED,
    FAILED,
    PENDING,
    PREDICTED,
    RECEIVING,
    SENT,
    SUPERSEDED,
    Delivery,
    Document,
    Instance,
    QueuedStudy,
)
from fetal_monai.apps.node.schema import INSTANCES, STUDIES, prepare_schema
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.utils.closing import Closing

QUEUE_FILE = "queue.sqlite"


def study_key(study_uid: str, patient: str, secret: bytes) -> str:
    """Name a study of one patient, without naming the patient, by something that is fit for a folder.

    Args:
        study_uid: Study Instance UID.
        patient: what tells patients apart; scanners exist that give two patients one Study Instance UID.
        secret: of the storage; who does not have it cannot try which patient a name is of.

    Returns:
        32 hexadecimal digits.

    Example:
        >>> study_key("1.2.3", "A", b"secret") == study_key("1.2.3", "A", b"another")
        False
    """
    return hmac.new(secret, f"{study_uid}\n{patient}".encode(), hashlib.sha256).hexdigest()[:32]


class Queue(Closing):
    """The queue of a storage folder. Threads may share it.

    Args:
        storage: the folder.
        create: make the file if it is missing.

    Raises:
        InputError: if the file is missing and not to be made, is of another version, or is no queue.

    Example:
        >>> import tempfile
        >>> with Queue(tempfile.mkdtemp(), create=True) as queue:
        ...     queue.studies(), queue.counters()["studies.failed"]
        ([], 0)
    """

    def __init__(self, storage: str | PathLike[str], *, create: bool = False) -> None:
        path = Path(storage) / QUEUE_FILE
        if not create and not path.exists():
            raise InputError(path, ["there is no such file; name the storage folder of a node"])
        self._lock = threading.RLock()
        try:
            if create:
                path.touch(mode=0o600)  # what SQLite puts beside it is as private
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise InputError(path, [f"cannot be opened ({error}); name another folder"]) from None
        try:
            prepare_schema(self._db, path)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make one transaction of a block: on the disk when it ends, or undone.

        Yields:
            The database.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows_of(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read rows.

        Args:
            query: in SQL.
            *values: for its placeholders.

        Returns:
            All of them.
        """
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def studies(self, state: str | None = None, *, limit: int = -1) -> list[QueuedStudy]:
        """List studies.

        Args:
            state: only those in this state.
            limit: the most; -1 for all.

        Returns:
            The latest changed first.
        """
        where, values = ("WHERE state = ?", [state]) if state else ("", [])
        rows = self.rows_of(f"{STUDIES} {where} ORDER BY changed_at DESC, key LIMIT ?", *values, limit)
        return [QueuedStudy(*row) for row in rows]

    def study(self, key: str) -> QueuedStudy | None:
        """Look up one study.

        Args:
            key: see `study_key`.

        Returns:
            It, or None.
        """
        rows = self.rows_of(f"{STUDIES} WHERE key = ?", key)
        return QueuedStudy(*rows[0]) if rows else None

    def failures(self, *, limit: int = -1) -> list[QueuedStudy]:
        """List the studies that need a person, each with its error.

        Args:
            limit: the most; -1 for all.

        Returns:
            The latest changed first.
        """
        return self.studies(FAILED, limit=limit)

    def deliveries(self, state: str | None = None, *, study: str | None = None, limit: int = -1) -> list[Delivery]:
        """List documents.

        Args:
            state: only those in this state.
            study: only those of the study with this key.
            limit: the most; -1 for all.

        Returns:
            The oldest first.
        """
        query = """SELECT d.uid, d.series, d.sop_class, d.file, d.study, s.uid, d.version, d.state, d.attempts, d.error,
            d.committed, d.changed_at FROM deliveries d JOIN studies s ON s.key = d.study
            WHERE (?1 IS NULL OR d.state = ?1) AND (?2 IS NULL OR d.study = ?2) ORDER BY d.rowid LIMIT ?3"""
        return [Delivery(Document(*row[:4]), *row[4:]) for row in self.rows_of(query, state, study, limit)]

    def instances(self, study: str | None = None) -> list[Instance]:
        """List objects.

        Args:
            study: only those of the study with this key.

        Returns:
            In the order of their UIDs.
        """
        rows = self.rows_of(f"{INSTANCES} WHERE ?1 IS NULL OR study = ?1 ORDER BY uid", study)
        return [Instance(*row) for row in rows]

    def waiting_since(self) -> dict[str, str]:
        """Tell since when the longest waiting has been where it is.

        Returns:
            "studies.receiving", "studies.closed" and "documents.pending" -> UTC, for people; without those of which
            there are none.
        """
        query = "SELECT 'studies.' || state, min(changed_at) FROM studies WHERE state IN (?, ?) GROUP BY state"
        since = dict(self.rows_of(query, RECEIVING, CLOSED))
        query = "SELECT 'documents.' || state, min(changed_at) FROM deliveries WHERE state = ? GROUP BY state"
        return since | dict(self.rows_of(query, PENDING))

    def counters(self) -> dict[str, int]:
        """Count studies by state, documents by state, objects, and answers to senders by status.

        Returns:
            Such as {"studies.sent": 3, "documents.pending": 0, "objects": 61, "refused.A700": 2, "repeated": 1}.
        """
        counts = {f"studies.{state}": 0 for state in (RECEIVING, CLOSED, PREDICTED, SENT, FAILED)}
        counts |= {f"documents.{state}": 0 for state in (PENDING, SENT, FAILED, SUPERSEDED)}
        counts |= dict(self.rows_of("SELECT 'studies.' || state, count(*) FROM studies GROUP BY state"))
        counts |= dict(self.rows_of("SELECT 'documents.' || state, count(*) FROM deliveries GROUP BY state"))
        counts |= dict(self.rows_of("SELECT 'objects', count(*) FROM instances"))
        return counts | dict(self.rows_of("SELECT name, value FROM counters"))

    def retry(self, study: str) -> None:
        """Try a failed study again: its delivery if it has a report, else its prediction.

        Args:
            study: its key, or its Study Instance UID.

        Raises:
            FetalMonaiError: if there is no such study, or none that has failed.
        """
        with self.writing() as db:
            query = "SELECT key, state, version, reported = revision FROM studies WHERE ? IN (key, uid)"
            rows = db.execute(query, (study,)).fetchall()
            failed = [(key, version, predicted) for key, state, version, predicted in rows if state == FAILED]
            if not failed:
                what = "has not failed: nothing to do" if rows else "is not in the queue; list the studies"
                raise FetalMonaiError(f"study {study} {what}")
            for key, version, predicted in failed:
                db.execute(
                    "UPDATE deliveries SET state = ?, attempts = 0, error = '', changed_at = ? "
                    "WHERE study = ? AND version = ? AND state = ?",
                    (PENDING, now(), key, version, FAILED),
                )
                set_state(db, key, PREDICTED if predicted else CLOSED, attempts=0)


def now() -> str:
    """Tell the time, for people.

    Returns:
        In UTC, to the microsecond: it sorts as text.
    """
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def set_state(db: sqlite3.Connection, key: str, state: str, *, error: str = "", **columns: int) -> None:
    """Change the state of a study.

    Args:
        db: inside a transaction.
        key: of the study.
        state: the new one.
        error: why, if it failed, or has to wait.
        **columns: other columns of its row to set.
    """
    names = "".join(f", {name} = ?" for name in columns)
    row = (state, error, now(), *columns.values(), key)
    db.execute(f"UPDATE studies SET state = ?, error = ?, changed_at = ?{names} WHERE key = ?", row)  # noqa: S608
