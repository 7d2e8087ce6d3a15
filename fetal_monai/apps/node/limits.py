"""What a node takes at most, and the statuses by which it refuses the rest."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from enum import IntEnum
from os import PathLike


class Status(IntEnum):
    """Statuses of C-STORE (PS3.4 B.2.3, PS3.7 Annex C)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    """The object could not be written."""
    DUPLICATE_SOP_INSTANCE = 0x0111
    """An object with this SOP Instance UID and another content is here; it stays as it is."""
    OUT_OF_RESOURCES = 0xA700
    """The disk is nearly full, the object too large, or its study has too many objects."""
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    """SOP Class or SOP Instance UID of the data set are not those of the request."""
    CANNOT_UNDERSTAND = 0xC000
    """The data set is cut off or cannot be parsed."""
    NO_ULTRASOUND = 0xC001
    """Its Modality is neither US nor IVUS."""
    NO_STUDY = 0xC002
    """It names no study or no series, or by something that is no UID."""


class Refused(Exception):  # noqa: N818  # an answer to the sender, no error of the node
    """An object that is not taken.

    Args:
        status: the answer to the sender.
        reason: for the log; it quotes nothing of the data set but UIDs.

    Example:
        >>> refused = Refused(Status.NO_ULTRASOUND, "modality CT")
        >>> f"{refused.status:04X} {refused}"
        'C001 modality CT'
    """

    def __init__(self, status: Status, reason: str) -> None:
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True)
class NodeLimits:
    """The most that peers may ask of a node.

    Args:
        object_bytes: of one object.
        study_objects: objects of one study.
        associations: at the same time.
        reserve_bytes: of the disk that stay free: below, nothing is taken.
        waiting_connections: connections that have not sent a byte yet; of more, the oldest are closed.
        request_seconds: from the connection to the complete request for an association, TLS included.
        idle_seconds: that an association may be silent.
        pdu_bytes: of one protocol data unit; a request for 128 presentation contexts stays below.

    Example:
        >>> NodeLimits(associations=4).associations
        4
    """

    object_bytes: int = 1 << 30
    study_objects: int = 5000
    associations: int = 20
    reserve_bytes: int = 1 << 31
    waiting_connections: int = 200
    request_seconds: float = 10.0
    idle_seconds: float = 60.0
    pdu_bytes: int = 1 << 20

    def check_disk(self, folder: str | PathLike[str]) -> None:
        """See that there is room.

        Args:
            folder: on the disk in question.

        Raises:
            Refused: if less than the reserve is free.
        """
        free = shutil.disk_usage(folder).free
        if free < self.reserve_bytes:
            raise Refused(
                Status.OUT_OF_RESOURCES, f"{free >> 20} MiB are free, {self.reserve_bytes >> 20} stay in reserve"
            )

    def check_size(self, size: int) -> None:
        """See that an object is not too large.

        Args:
            size: its bytes, so far.

        Raises:
            Refused: if it is.
        """
        if size > self.object_bytes:
            raise Refused(Status.OUT_OF_RESOURCES, f"the object has more than {self.object_bytes} bytes")
