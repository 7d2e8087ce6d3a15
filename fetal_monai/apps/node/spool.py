"""Objects while they come in: straight to the disk, so that memory stays flat, and no further than the limits.

pynetdicom can write each C-STORE data set to a temporary file; where, is Python's own setting. An object that is too
large, or that the disk has no room for, is read to its end all the same and thrown away: so its sender gets a status,
and goes on with the next object.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pynetdicom import _config, evt

from fetal_monai.apps.node.limits import NodeLimits, Refused

_WAITING = 2  # a peer has to wait for each answer: asynchronous operations are not negotiated (PS3.7 D.3.3.3)


@contextlib.contextmanager
def spooling(folder: Path) -> Iterator[None]:
    """Have this process receive objects into a folder.

    Args:
        folder: on the disk where they are to stay: they are renamed afterwards.
    """
    before = tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET
    tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET = str(folder), True
    try:
        yield
    finally:
        tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET = before


class Discarded:
    """Stands in for the temporary file of an object that is not taken.

    Args:
        file: the temporary file; it goes at once.
        refused: the answer to the sender.
    """

    def __init__(self, file: Any, refused: Refused) -> None:
        self.refused = refused
        self.name = file.name
        self.file = self
        file.close()
        Path(file.name).unlink(missing_ok=True)

    def write(self, data: bytes) -> int:
        """Take data and forget it."""
        return len(data)

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def watch(event: evt.Event, folder: Path, limits: NodeLimits) -> None:
    """See, at each protocol data unit, that the object that is coming in still may (EVT_PDU_RECV).

    Args:
        event: of pynetdicom.
        folder: where it is written.
        limits: of it.
    """
    message, socket = event.assoc.dimse.message, event.assoc.dul.socket
    if message is None or socket is None:
        return
    if event.assoc.dimse.msg_queue.qsize() > _WAITING:
        socket.close()
    in_memory = (message.encoded_command_set, message.data_set)  # of anything but an object to be stored
    if any(part is not None and part.tell() > limits.pdu_bytes for part in in_memory):
        socket.close()
    file: Any = message._data_set_file  # noqa: SLF001  # there is no public way to it
    if file is None or isinstance(file, Discarded):
        return
    try:
        limits.check_size(file.tell())
        limits.check_disk(folder)
    except Refused as refused:
        message._data_set_file = cast("Any", Discarded(file, refused))  # noqa: SLF001


def clean(event: evt.Event) -> None:
    """Remove what a connection leaves half received, and what came whole and waits for its turn (EVT_CONN_CLOSE).

    Args:
        event: of pynetdicom.
    """
    dimse = event.assoc.dimse
    files: list[Any] = [getattr(dimse.message, "_data_set_file", None)]
    with contextlib.suppress(queue.Empty):
        while True:
            files.append(getattr(dimse.msg_queue.get_nowait()[1], "_dataset_file", None))
    dimse.msg_queue.put((None, None))  # pynetdicom's own word for a connection that is closed
    for file in files:
        if file is not None:
            file.close()
            Path(file.name).unlink(missing_ok=True)
