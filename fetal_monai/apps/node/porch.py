"""Connections before they are associations: whoever says nothing costs a file descriptor, and no more.

pynetdicom gives each connection two threads at once, shakes hands for TLS in the thread that accepts, and believes any
length that a peer claims. So connections wait here until their first byte; of too many the oldest are closed, and a
peer that means it is hardly among those, because it speaks first (A-ASSOCIATE-RQ, PS3.8).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import selectors
import socket
import ssl
import threading
import time
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

from fetal_monai.apps.node.limits import NodeLimits

LOG = logging.getLogger(__name__)
_TIDY_S = 10.0
_SPARE = 10  # beyond the most associations: so many more are told so in the protocol's words, others are just closed


class _BoundedSocket(AssociationSocket):
    """One that reads no longer unit than the limit, and closes."""

    most = NodeLimits.pdu_bytes

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > self.most:
            self._shutdown_socket()
            raise OSError(f"a unit of {nr_bytes} bytes was announced")
        return super().recv(nr_bytes)

    def _shutdown_socket(self) -> None:
        if self.socket is not None:
            _close(self.socket)  # pynetdicom leaves it open if the peer was faster


class _Handler(RequestHandler):
    """Makes an association of a connection."""

    server: PorchServer

    def handle(self) -> None:
        assoc = self._create_association()
        assoc.dul.event_queue.get_nowait()  # "connected", which the socket that takes its place says again
        bounded = _BoundedSocket(assoc, client_socket=self.request)
        bounded.most = self.server.limits.pdu_bytes
        assoc.dul.socket = bounded
        evt.trigger(assoc, evt.EVT_CONN_OPEN, {"address": self.client_address})
        self.server.young[assoc] = time.monotonic() + self.server.limits.request_seconds
        assoc.start()


class PorchServer(AssociationServer):
    """pynetdicom's server, with a porch.

    Args:
        *args: of `AssociationServer`, without TLS.
        limits: of connections.
        tls: shakes hands with each peer; None for plain connections.
        **kwargs: of `AssociationServer`.
    """

    request_queue_size = 128

    def __init__(self, *args: Any, limits: NodeLimits, tls: ssl.SSLContext | None = None, **kwargs: Any) -> None:
        self.limits = limits
        self._tls = tls
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[socket.socket, tuple[Any, float]] = {}  # the oldest first
        self._shaking: set[threading.Thread] = set()
        self.young: dict[Association, float] = {}  # what has not asked for an association yet
        self._tidy_at = 0.0
        super().__init__(*args, **{**kwargs, "request_handler": _Handler})

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; nothing is read from it yet."""
        connection, address = cast("socket.socket", self.socket).accept()
        connection.settimeout(self.limits.idle_seconds)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Let a connection wait for its first byte."""
        if len(self._waiting) >= self.limits.waiting_connections:
            self._leave(next(iter(self._waiting)))
        self._waiting[request] = client_address, time.monotonic() + self.limits.request_seconds
        self._selector.register(request, selectors.EVENT_READ)

    def service_actions(self) -> None:
        """Let in whoever has begun to speak, and close what has waited too long; in each round of the server's loop."""
        for key, _ in self._selector.select(0):
            connection: Any = key.fileobj
            address, deadline = self._waiting.pop(connection)
            self._selector.unregister(connection)
            try:
                self._enter(connection, address, deadline)
            except Exception as error:  # noqa: BLE001  # nothing that one peer does may end the server
                LOG.warning("a connection failed: %s", type(error).__name__)
                _close(connection)
        now = time.monotonic()
        for connection, (_, deadline) in list(self._waiting.items()):
            if deadline > now:
                break
            self._leave(connection)
        for assoc, deadline in list(self.young.items()):
            if assoc.is_established or not assoc.is_alive():
                self.young.pop(assoc, None)
            elif deadline < now and assoc.dul.socket is not None:  # pynetdicom waits for the rest of the request
                assoc.dul.socket._shutdown_socket()  # noqa: SLF001
        if now > self._tidy_at:  # associations are circles: without this they pile up (pynetdicom does it every second)
            self._tidy_at = now + _TIDY_S
            gc.collect()

    def _leave(self, connection: socket.socket) -> None:
        del self._waiting[connection]
        self._selector.unregister(connection)
        _close(connection)

    def _enter(self, connection: socket.socket, address: Any, deadline: float) -> None:
        full = len(self.active_associations) + len(self._shaking) >= self.limits.associations + _SPARE
        if full or not connection.recv(1, socket.MSG_PEEK):
            _close(connection)
        elif self._tls is None:
            self.finish_request(connection, address)
        else:
            thread = threading.Thread(target=self._shake_hands, args=(connection, address, deadline), daemon=True)
            self._shaking.add(thread)
            thread.start()

    def _shake_hands(self, connection: socket.socket, address: Any, deadline: float) -> None:
        try:
            context = cast("ssl.SSLContext", self._tls)
            connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            watchdog = threading.Timer(max(deadline - time.monotonic(), 0.1), hang_up, [connection])
            watchdog.start()  # a socket's own timeout begins anew with every byte
            try:
                connection.do_handshake()
            finally:
                watchdog.cancel()
            self.finish_request(connection, address)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            LOG.warning("no TLS with a peer: %s", getattr(error, "reason", None) or type(error).__name__)
            _close(connection)
        finally:
            self._shaking.discard(threading.current_thread())

    def shutdown(self) -> None:
        """Accept no more; associations go on."""
        super(AssociationServer, self).shutdown()
        self.server_close()
        for connection in list(self._waiting):
            self._leave(connection)
        self._selector.close()


def hang_up(connection: socket.socket) -> None:
    """End a connection while another thread waits for it; one that is no longer there is ended already.

    Args:
        connection: plain, or wrapped for TLS.
    """
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _close(connection: socket.socket) -> None:
    hang_up(connection)
    with contextlib.suppress(OSError):
        connection.close()
