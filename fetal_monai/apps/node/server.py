"""Associations: C-ECHO, C-STORE, and what a destination says of storage commitment."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from fetal_monai.apps.node.contexts import STORAGE_CLASSES, transfer_syntaxes
from fetal_monai.apps.node.inbox import Inbox
from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.limits import NodeLimits, Refused, Status
from fetal_monai.apps.node.porch import PorchServer
from fetal_monai.apps.node.spool import Spooled, clean, spooling, sweep, watch
from fetal_monai.utils.closing import Closing
from fetal_monai.utils.ports import listening

LOG = logging.getLogger(__name__)
_PDU = 1 << 17
_POLL_S = 0.02
_FORSAKEN = 10  # times as long as a peer may be silent


class Receiver(Closing):
    """Listens from the moment it is made until it is closed.

    Args:
        address: host and port; port 0 takes a free one.
        aet: AE title of the node; peers must call it by this name.
        allow: AE titles that may call; none: any.
        ledger: where answers are counted and commitments noted.
        inbox: takes the objects.
        limits: the most that peers may ask for.
        tls: shakes hands with each peer; None for plain connections.

    Attributes:
        port: that it listens on.

    Raises:
        InputError: if the address cannot be used.
    """

    def __init__(
        self,
        address: tuple[str, int],
        aet: str,
        allow: Sequence[str],
        *,
        ledger: Ledger,
        inbox: Inbox,
        limits: NodeLimits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._ledger, self._inbox, self._limits = ledger, inbox, limits
        self._feeds: dict[Association, str] = {}  # association -> key of the study that it sent an object of
        self._ae = AE(aet)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = list(allow)
        self._ae.maximum_associations = limits.associations
        self._ae.maximum_pdu_size = _PDU
        self._ae.acse_timeout = limits.request_seconds
        self._ae.network_timeout = limits.idle_seconds
        self._ae.dimse_timeout = limits.idle_seconds
        self._ae.add_supported_context(Verification)
        for sop_class in STORAGE_CLASSES:
            self._ae.add_supported_context(sop_class, transfer_syntaxes())
        self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers: list[Any] = [
            (evt.EVT_C_ECHO, lambda _: Status.SUCCESS.value),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self.commitment),
            (evt.EVT_PDU_RECV, watch, [inbox.incoming, limits]),
            (evt.EVT_CONN_CLOSE, self._forget),
            (evt.EVT_REJECTED, self._rejected),
        ]
        self._spooling = contextlib.ExitStack()
        with listening(address, "--port"):
            self._server: Any = self._ae.make_server(
                address, evt_handlers=handlers, server_class=cast("Any", PorchServer), limits=limits, tls=tls
            )
        self._spooling.enter_context(spooling(inbox.incoming))
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="node-accept")
        self._thread.start()

    def busy_studies(self) -> set[str]:
        """Name the studies that are being fed: an association that sent an object of them is sending another.

        Returns:
            Their keys.
        """
        return {study for assoc, study in list(self._feeds.items()) if assoc.dimse.message is not None}

    @property
    def alive(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive()

    def refuse_new(self) -> None:
        """Accept no further connections."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()

    def close(self, grace: float = 0.0) -> None:
        """Accept no more, let associations end, then end them.

        Args:
            grace: seconds that they have.
        """
        self.refuse_new()
        end = time.monotonic() + grace
        while time.monotonic() < end and self._ae.active_associations:
            time.sleep(0.05)
        for assoc in self._ae.active_associations:
            if assoc.is_established:
                assoc.abort()
            elif assoc.dul.socket is not None:  # not yet one: pynetdicom knows no abort there
                assoc.dul.socket._shutdown_socket()  # noqa: SLF001
        self._spooling.close()

    def commitment(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Note what a destination committed to keep (N-EVENT-REPORT).

        Args:
            event: of pynetdicom.

        Returns:
            The status, and no reply.
        """
        try:
            report = event.event_information
            done, failed = (
                [str(item.ReferencedSOPInstanceUID) for item in report.get(name) or ()]
                for name in ("ReferencedSOPSequence", "FailedSOPSequence")
            )
            self._ledger.committed(str(report.TransactionUID), done, failed)
        except Exception as error:  # noqa: BLE001  # whatever a peer sends
            LOG.warning("a storage commitment report was not understood: %s", type(error).__name__)
            return Status.PROCESSING_FAILURE.value, None
        LOG.info("storage commitment: %d documents kept, %d not", len(done), len(failed))
        return Status.SUCCESS.value, None

    def _store(self, event: evt.Event) -> int:
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        try:
            path = _spooled(event)
            instance = self._inbox.take(path, str(request.AffectedSOPClassUID), uid)
        except Refused as refused:
            with contextlib.suppress(sqlite3.Error):  # a disk that takes no object may take no count of it either
                self._ledger.count(f"refused.{refused.status:04X}")
            LOG.warning("object %s refused with %04X: %s", _plain(uid), refused.status, refused)
            return refused.status.value
        except Exception as error:  # noqa: BLE001  # one object's trouble is not the association's
            LOG.error("object %s: %s", _plain(uid), type(error).__name__)  # noqa: TRY400  # a traceback quotes values
            return Status.PROCESSING_FAILURE.value
        self._feeds[event.assoc] = instance.study
        return Status.SUCCESS.value

    def _forget(self, event: evt.Event) -> None:
        clean(event)
        sweep(self._inbox.incoming, _FORSAKEN * self._limits.idle_seconds)
        for assoc in [event.assoc, *(assoc for assoc in list(self._feeds) if not assoc.is_alive())]:
            self._feeds.pop(assoc, None)

    def _rejected(self, event: evt.Event) -> None:
        self._ledger.count("associations.rejected")
        LOG.warning("an association of %r was rejected", event.assoc.requestor.ae_title[:16])


def _spooled(event: evt.Event) -> Path:
    """The file of an object that was received whole."""
    spooled = event.request._dataset_file  # noqa: SLF001
    if isinstance(spooled, Spooled):
        spooled.close()
        if spooled.refused is not None:
            raise spooled.refused
    if event.dataset_path is None:
        raise Refused(Status.CANNOT_UNDERSTAND, "it has no data set")
    return Path(event.dataset_path)


def _plain(uid: str) -> str:
    """A UID as a log may show it, whatever a peer calls one."""
    return "".join(letter for letter in uid[:64] if letter in "0123456789.") or "without UID"
