"""Objects while they come in: straight to the disk, so that memory stays flat, and no further than the limits.

pynetdicom can write each C-STORE data set to a temporary file; where, is Python's own setting. An object that is too
large, or that the disk has no room for, is read to its end all the same and thrown away: so its sender gets a status,
and goes on with the next object.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from pynetdicom import _config, evt

from fetal_monai.apps.node.limits import NodeLimits, Refused, Status

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


class Spooled:
    """Stands in for the temporary file of an object: whatever goes wrong is the answer to its sender, not an exception.

    pynetdicom writes in the thread that reads from the socket, which an exception would end.

    Args:
        file: the temporary file.

    Attributes:
        refused: the answer to the sender, once the object is not taken; then the file is gone.
    """

    def __init__(self, file: Any) -> None:
        self.refused: Refused | None = None
        self.name = file.name
        self.file = self
        self._file = file

    def refuse(self, refused: Refused) -> None:
        """Take no more of the object.

        Args:
            refused: the answer to its sender.
        """
        self.refused = refused
        self.close()
        Path(self.name).unlink(missing_ok=True)

    def tell(self) -> int:
        """Bytes so far."""
        return int(self._file.tell())

    def write(self, data: bytes) -> int:
        """Write data; forget it if the object is not taken."""
        if self.refused is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.refuse(_cannot_be_written(error))
        return len(data)

    def flush(self) -> None:
        """Write what is held back."""
        if self.refused is None:
            try:
                self._file.flush()
            except OSError as error:
                self.refuse(_cannot_be_written(error))

    def close(self) -> None:
        """Close the file; what cannot be written then is refused."""
        try:
            self._file.close()
        except OSError as error:  # it writes what it holds
            with contextlib.suppress(OSError):
                self._file.file.close()
            self.refused = self.refused or _cannot_be_written(error)


def _cannot_be_written(error: OSError) -> Refused:
    return Refused(Status.PROCESSING_FAILURE, f"it cannot be written ({error.strerror})")


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
    if file is None:
        return
    spooled = file if isinstance(file, Spooled) else Spooled(file)
    message._data_set_file = cast("Any", spooled)  # noqa: SLF001
    if spooled.refused is not None:
        return
    try:
        limits.check_size(spooled.tell())
        limits.check_disk(folder)
    except Refused as refused:
        spooled.refuse(refused)


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
            with contextlib.suppress(OSError):  # of what it held back: it goes anyhow
                file.close()
            Path(file.name).unlink(missing_ok=True)


def sweep(folder: Path, seconds: float) -> None:
    """Remove what nobody has written to for so long: whoever did is gone, and could not clean up.

    Args:
        folder: where objects are written.
        seconds: much longer than a peer may be silent.
    """
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > seconds:
                path.unlink()
