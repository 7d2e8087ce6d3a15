"""STOW-RS as a sender needs it: what a service answers either says that a document is stored, or is no success."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import requests
from pydicom import Dataset

from fetal_monai.dicomweb.connection import ServiceSession

_DUPLICATE = 0x0111  # it is there already: our UIDs are digests of what they name
OF_THE_SERVICE = frozenset({401, 403, 404, 407, 408, 429})
"""HTTP statuses below 500 that say nothing of the document: a password or a path is wrong, or it is too much."""


class StowSession(ServiceSession):
    """A session whose answers dicomweb-client understands.

    That knows media types without parameters only, and keeps quiet about others, such as a page to log in.
    """

    def request(self, method: str, url: str | bytes, *arguments: Any, **options: Any) -> requests.Response:
        """Ask; see `requests.Session.request`.

        Args:
            method: such as POST.
            url: of a resource.
            *arguments: see there.
            **options: likewise; redirections are not followed.

        Returns:
            The answer.

        Raises:
            requests.RequestException: if there is none, or it leads elsewhere.
        """
        answer = super().request(method, url, *arguments, **options)
        if 300 <= answer.status_code < 400:
            raise requests.HTTPError("leads elsewhere", response=answer)
        if answer.status_code == HTTPStatus.CONFLICT:  # nothing is stored: the reasons are where those of a 202 are
            answer.status_code = HTTPStatus.ACCEPTED
        answer.headers["Content-Type"] = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return answer


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
        if reason != _DUPLICATE:
            return "refused" if reason is None else f"refused with failure reason {reason:04X}"
        return None
    stored = {str(item.get("ReferencedSOPInstanceUID")) for item in answer.get("ReferencedSOPSequence") or ()}
    return None if uid in stored else "is not among what the answer says is stored"
