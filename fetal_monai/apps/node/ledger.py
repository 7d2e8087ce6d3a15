"""What the node itself writes into its queue, each step one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from fetal_monai.apps.node.queue import Queue, now, set_state
from fetal_monai.apps.node.records import (
    CLOSED,
    FAILED,
    KEY_OBJECTS,
    PENDING,
    PREDICTED,
    RECEIVING,
    SENT,
    SUPERSEDED,
    Document,
    Instance,
    QueuedStudy,
)
from fetal_monai.apps.node.schema import INSTANCES, STUDIES

_COMMITMENTS = 10


class Ledger(Queue):
    """The queue, for the one node that owns it.

    Example:
        >>> import tempfile
        >>> with Ledger(tempfile.mkdtemp(), create=True) as ledger:
        ...     ledger.add(Instance("1.2.3.4", "a" * 32, "1.2", "1.2.840.10008.1.2", "00", 10, "x.dcm"), "1.2.3")
        ...     [(study.uid, study.state, study.objects) for study in ledger.studies()]
        [('1.2.3', 'receiving', 1)]
    """

    def count(self, name: str) -> None:
        """Add one to a counter.

        Args:
            name: of the counter.
        """
        with self.writing() as db:
            db.execute("INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", (name,))

    def instance(self, uid: str) -> Instance | None:
        """Look up one object.

        Args:
            uid: SOP Instance UID.

        Returns:
            It, or None.
        """
        rows = self.rows_of(f"{INSTANCES} WHERE uid = ?", uid)
        return Instance(*rows[0]) if rows else None

    def add(self, instance: Instance, study_uid: str) -> None:
        """Take an object in. Its study, new or not, is receiving from now on: one with a report gets a new version.

        Args:
            instance: a new one.
            study_uid: Study Instance UID.
        """
        with self.writing() as db:
            db.execute(
                "INSERT INTO studies (key, uid, state, changed_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (instance.study, study_uid, RECEIVING, now()),
            )
            db.execute("INSERT INTO instances VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(instance))
            _reopen(db, instance.study)

    def lose(self, instance: Instance) -> None:
        """Strike out an object whose file is gone; its sender may send it again.

        Args:
            instance: one of the queue.
        """
        with self.writing() as db:
            db.execute("DELETE FROM instances WHERE uid = ?", (instance.uid,))
            _reopen(db, instance.study)

    def close_study(self, key: str, revision: int) -> None:
        """Call a study complete, unless something came in meanwhile.

        Args:
            key: of the study.
            revision: that was found quiet.
        """
        with self.writing() as db:
            if _is(db, key, RECEIVING, revision):
                set_state(db, key, CLOSED, attempts=0)

    def longest(self, state: str) -> QueuedStudy | None:
        """Find the study that has been in a state for the longest time.

        Args:
            state: the state.

        Returns:
            The study, or None if none is.
        """
        rows = self.rows_of(f"{STUDIES} WHERE state = ? ORDER BY changed_at LIMIT 1", state)
        return QueuedStudy(*rows[0]) if rows else None

    def prediction_died(self, key: str) -> int:
        """Count a prediction that its process did not survive: such a study is not tried for ever.

        Args:
            key: of the study.

        Returns:
            How many there were since something new came in.
        """
        with self.writing() as db:
            db.execute("UPDATE studies SET attempts = attempts + 1 WHERE key = ?", (key,))
            return int(db.execute("SELECT attempts FROM studies WHERE key = ?", (key,)).fetchone()[0])

    def postpone(self, key: str, revision: int, why: str) -> None:
        """Let a study that cannot be predicted now wait behind the others.

        Args:
            key: of the study.
            revision: that was to be predicted.
            why: it waits.
        """
        with self.writing() as db:
            if _is(db, key, CLOSED, revision):
                set_state(db, key, CLOSED, error=why)

    def previous(self, key: str) -> Document | None:
        """Find the newest report of a study that somebody may have seen: sent, or perhaps on its way.

        Args:
            key: of the study.

        Returns:
            The report, or None.
        """
        rows = self.rows_of(
            "SELECT uid, series, sop_class, file FROM deliveries WHERE study = ? AND sop_class != ? "
            "AND (state = ? OR (state = ? AND attempts > 0)) ORDER BY rowid DESC LIMIT 1",
            *(key, KEY_OBJECTS, SENT, PENDING),
        )
        return Document(*rows[0]) if rows else None

    def finish_prediction(
        self, key: str, revision: int, documents: Sequence[Document], previous: Document | None = None
    ) -> bool:
        """Keep the documents of a study as its newest version, to be sent.

        Args:
            key: of the study.
            revision: that was predicted.
            documents: of it, one or more, their files on the disk.
            previous: the report that they name as the one before them.

        Returns:
            False if objects came in meanwhile, or another report was begun to be sent: then the documents are not kept,
            and newer ones will be made.
        """
        with self.writing() as db:
            if not _is(db, key, CLOSED, revision) or self.previous(key) != previous:
                return False
            version = db.execute("SELECT version + 1 FROM studies WHERE key = ?", (key,)).fetchone()[0]
            db.execute(
                "UPDATE deliveries SET state = ?, changed_at = ? WHERE study = ? AND state IN (?, ?)",
                (SUPERSEDED, now(), key, PENDING, FAILED),
            )
            for made in documents:  # of the same objects by the same model comes the same UID: sent is sent
                db.execute(
                    "INSERT INTO deliveries (uid, study, version, series, sop_class, file, state, changed_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET version = excluded.version, "
                    "attempts = CASE state WHEN 'sent' THEN attempts ELSE 0 END, "
                    "error = CASE state WHEN 'sent' THEN error ELSE '' END, "
                    "state = CASE state WHEN 'sent' THEN 'sent' ELSE 'pending' END",
                    (made.uid, key, version, made.series, made.sop_class, made.file, PENDING, now()),
                )
            set_state(db, key, PREDICTED, attempts=0, version=version, reported=revision)
            _settle(db, documents[0].uid)
        return True

    def predict_again(self, key: str) -> None:
        """Let a study be predicted once more, because a document of it that was not sent is lost.

        Args:
            key: of the study.
        """
        with self.writing() as db:
            row = (SUPERSEDED, now(), key, PENDING)
            db.execute("UPDATE deliveries SET state = ?, changed_at = ? WHERE study = ? AND state = ?", row)
            if db.execute("SELECT state FROM studies WHERE key = ?", (key,)).fetchone()[0] != RECEIVING:
                set_state(db, key, CLOSED, attempts=0, reported=0)

    def fail_study(self, key: str, revision: int, error: str) -> None:
        """Give a study up until a person looks at it, or something new of it comes in.

        Args:
            key: of the study.
            revision: that failed.
            error: why.
        """
        with self.writing() as db:
            if _is(db, key, CLOSED, revision):
                set_state(db, key, FAILED, error=error)

    def sending(self, uid: str) -> bool:
        """Count an attempt to send a document, which begins now: from here on somebody may have it.

        Args:
            uid: of the document.

        Returns:
            False if it is not to be sent any more.
        """
        with self.writing() as db:
            row = (now(), uid, PENDING)
            query = "UPDATE deliveries SET attempts = attempts + 1, changed_at = ? WHERE uid = ? AND state = ?"
            return db.execute(query, row).rowcount > 0

    def sent(self, uid: str, transaction: str | None = None) -> None:
        """Note that a document has arrived, unless a newer one has replaced it meanwhile.

        Args:
            uid: of the document.
            transaction: by which storage commitment was asked for.
        """
        self._delivery(uid, "state = ?, error = '', transaction_uid = ?", SENT, transaction)

    def not_sent(self, uid: str, error: str, *, give_up: bool = False, counted: bool = False) -> None:
        """Note that an attempt to send a document failed, unless a newer one has replaced it meanwhile.

        Args:
            uid: of the document.
            error: why.
            give_up: try no more until a person says so.
            counted: `sending` has counted this attempt.
        """
        state = FAILED if give_up else PENDING
        self._delivery(uid, "attempts = attempts + ?, error = ?, state = ?", int(not counted), error, state)

    def committed(self, transaction: str, done: Sequence[str], failed: Sequence[str]) -> None:
        """Take note of the answer to a request for storage commitment.

        What is not committed is sent again, and given up in the end.

        Args:
            transaction: its Transaction UID.
            done: SOP Instance UIDs of committed documents.
            failed: of the others.
        """
        with self.writing() as db:
            query = "UPDATE deliveries SET committed = 1 WHERE transaction_uid = ? AND uid = ?"
            db.executemany(query, [(transaction, uid) for uid in done])
            for uid in failed:
                error = "the destination did not commit to keep it"
                again = db.execute(
                    "UPDATE deliveries SET state = CASE WHEN attempts < ? THEN ? ELSE ? END, error = ? "
                    "WHERE transaction_uid = ? AND uid = ? AND state = ?",
                    (_COMMITMENTS, PENDING, FAILED, error, transaction, uid, SENT),
                )
                if again.rowcount:
                    _settle(db, uid)

    def _delivery(self, uid: str, change: str, *values: Any) -> None:
        with self.writing() as db:
            row = (*values, now(), uid, PENDING)
            query = f"UPDATE deliveries SET {change}, changed_at = ? WHERE uid = ? AND state = ?"  # noqa: S608
            if db.execute(query, row).rowcount:
                _settle(db, uid)


def _is(db: sqlite3.Connection, key: str, state: str, revision: int) -> bool:
    row = (key, state, revision)
    return bool(db.execute("SELECT 1 FROM studies WHERE key = ? AND state = ? AND revision = ?", row).fetchall())


def _reopen(db: sqlite3.Connection, key: str) -> None:
    db.execute("UPDATE studies SET revision = revision + 1 WHERE key = ?", (key,))
    set_state(db, key, RECEIVING)


def _settle(db: sqlite3.Connection, uid: str) -> None:
    """Let the state of a study whose report tells of all its objects follow the report's documents."""
    key, state, version, reported = db.execute(
        "SELECT s.key, s.state, s.version, s.reported = s.revision FROM studies s JOIN deliveries d ON d.study = s.key "
        "WHERE d.uid = ?",
        (uid,),
    ).fetchone()
    if not reported or state not in (PREDICTED, SENT, FAILED):
        return
    rows = db.execute("SELECT state, error FROM deliveries WHERE study = ? AND version = ?", (key, version)).fetchall()
    errors = [error for one, error in rows if one == FAILED]
    if errors:
        set_state(db, key, FAILED, error=errors[0])
    elif rows:
        set_state(db, key, SENT if all(one == SENT for one, _ in rows) else PREDICTED)
