"""STOW-RS as a sender needs it: what a service answers either says that a document is stored, or is no success."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import requests
from pydicom import Dataset

from fetal_monai.apps.node.limits import Status
from fetal_monai.dicomweb.connection import ArchiveSession, Connection, open_session

OF_THE_SERVICE = frozenset({401, 403, 404, 407, 408, 429})
"""HTTP statuses below 500 that say nothing of the document: a password or a path is wrong, or it is too much."""


def open_stow_session(connection: Connection) -> ArchiveSession:
    """Make a session whose answers dicomweb-client understands.

    That knows media types without parameters only, and keeps quiet about others.

    Args:
        connection: where and how.

    Returns:
        The session.

    Raises:
        InputError: if the URL or a certificate file is not right.
    """
    session = open_session(connection)
    session.hooks["response"].append(_as_the_client_reads)
    return session


def _as_the_client_reads(answer: requests.Response, **_: Any) -> None:
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    answer.headers["Content-Type"] = media_type
    if answer.status_code == HTTPStatus.CONFLICT and "dicom" in media_type:
        answer.status_code = HTTPStatus.ACCEPTED  # nothing is stored: the reasons are where those of a 202 are


def why_not_stored(answer: Dataset, uid: str) -> str | None:
    """Read what a service says of the one document that it was sent (PS3.18, Store Instances Response Module).

    Args:
        answer: of the service; empty if it said something else.
        uid: SOP Instance UID of the document.

    Returns:
        Why it is not stored; None if it is.

    Example:
        >>> why_not_stored(Dataset(), "1.2.3")
        'is not among what the answer says is stored'
    """
    for item in answer.get("FailedSOPSequence") or ():
        reason = item.get("FailureReason")
        if reason != Status.DUPLICATE_SOP_INSTANCE:  # it is there already: our UIDs are digests of what they name
            return "refused" if reason is None else f"refused with failure reason {reason:04X}"
        return None
    stored = {str(item.get("ReferencedSOPInstanceUID")) for item in answer.get("ReferencedSOPSequence") or ()}
    return None if uid in stored else "is not among what the answer says is stored"
