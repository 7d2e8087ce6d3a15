"""The rows of the queue, as its readers see them."""

from __future__ import annotations

from dataclasses import dataclass

RECEIVING, CLOSED, PREDICTED, SENT, FAILED = STATES = ("receiving", "closed", "predicted", "sent", "failed")
"""Of a study: objects come in; none came for a while; its report is written, and delivered; it needs a person."""
PENDING, SUPERSEDED = "pending", "superseded"
"""Of a document, beside `SENT` and `FAILED`: to be sent; replaced by a newer version before it was sent."""

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
"""SOP Class UID of key object selections; other documents are structured reports."""


@dataclass(frozen=True)
class Instance:
    """An object that was received.

    Args:
        uid: SOP Instance UID.
        study: key of its study.
        sop_class: SOP Class UID.
        syntax: Transfer Syntax UID.
        digest: SHA-256 of the data set as received, in hexadecimal.
        size: bytes of the file.
        file: relative to the storage folder.
    """

    uid: str
    study: str
    sop_class: str
    syntax: str
    digest: str
    size: int
    file: str


@dataclass(frozen=True)
class QueuedStudy:
    """A study of one patient. No patient is named.

    Args:
        key: of Study Instance UID and patient; see `study_key`.
        uid: Study Instance UID.
        state: one of `STATES`.
        revision: counts its objects, those that were lost again included: any change is a new revision.
        version: reports so far.
        objects: received.
        attempts: predictions that the worker did not survive.
        error: why it failed, or waits, or "".
        changed_at: UTC, for people; nothing is decided by it.
    """

    key: str
    uid: str
    state: str
    revision: int
    version: int
    objects: int
    attempts: int
    error: str
    changed_at: str


@dataclass(frozen=True)
class Document:
    """A structured report or key object selection.

    Args:
        uid: SOP Instance UID.
        series: Series Instance UID.
        sop_class: SOP Class UID.
        file: relative to the storage folder.
    """

    uid: str
    series: str
    sop_class: str
    file: str


@dataclass(frozen=True)
class Delivery:
    """A document on its way.

    Args:
        document: what is sent.
        study: key of its study.
        study_uid: Study Instance UID.
        version: of the study's report.
        state: `PENDING`, `SENT`, `FAILED` or `SUPERSEDED`.
        attempts: to send it, so far.
        error: of the last attempt, or "".
        committed: whether the destination has taken responsibility for it (storage commitment).
        changed_at: UTC, for people.
    """

    document: Document
    study: str
    study_uid: str
    version: int
    state: str
    attempts: int
    error: str
    committed: bool
    changed_at: str
