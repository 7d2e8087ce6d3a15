"""The tables of the queue, and its version."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fetal_monai.errors import InputError

VERSION = 1
_APPLICATION = 0x464D4E51  # FMNQ: no other program's database is written to
_TABLES = """
CREATE TABLE studies (
    key TEXT PRIMARY KEY,
    uid TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('receiving', 'closed', 'predicted', 'sent', 'failed')),
    revision INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    reported INTEGER NOT NULL DEFAULT 0, -- the revision that this version tells of
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    changed_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX studies_by_state ON studies (state, changed_at);
CREATE INDEX studies_by_uid ON studies (uid);
CREATE TABLE instances (
    uid TEXT PRIMARY KEY,
    study TEXT NOT NULL REFERENCES studies (key),
    sop_class TEXT NOT NULL,
    syntax TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    file TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX instances_by_study ON instances (study);
CREATE TABLE deliveries (
    uid TEXT PRIMARY KEY,
    study TEXT NOT NULL REFERENCES studies (key),
    version INTEGER NOT NULL,
    series TEXT NOT NULL,
    sop_class TEXT NOT NULL,
    file TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'superseded')),
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    transaction_uid TEXT,
    committed INTEGER NOT NULL DEFAULT 0,
    changed_at TEXT NOT NULL
);
CREATE INDEX deliveries_by_study ON deliveries (study);
CREATE INDEX deliveries_by_state ON deliveries (state);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
INSTANCES = "SELECT uid, study, sop_class, syntax, digest, size, file FROM instances"
STUDIES = """SELECT key, uid, state, revision, version,
    (SELECT count(*) FROM instances WHERE instances.study = studies.key), attempts, error, changed_at FROM studies"""


def prepare_schema(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; see that those of an old one are ours.

    Args:
        db: the open file, in autocommit mode.
        path: its name, for messages.

    Raises:
        InputError: if it is no SQLite file, another program's, or of another version.
    """
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before a sender is told so
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not (application or version or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]):
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            application, version = _APPLICATION, VERSION
        db.execute("COMMIT")
    except sqlite3.Error as error:
        raise InputError(path, [f"is no queue that can be used ({error}); name another folder"]) from None
    if application != _APPLICATION:
        raise InputError(path, ["is another program's database; name another storage folder"])
    if version != VERSION:
        remedy = "let the fetal_monai that wrote it finish its studies, then move the file away"
        raise InputError(path, [f"is a queue of version {version}, this fetal_monai has {VERSION}; {remedy}"])
