"""The status page over HTTP, for this machine: read-only, but for trying a failed study again with a token.

It has threads and a connection to the queue of its own, so that nobody who looks, however slowly, keeps an object from
being received.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import re
import secrets
import socketserver
import sqlite3
import tempfile
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from fetal_monai.apps.node.health import Health
from fetal_monai.apps.node.limits import NodeLimits
from fetal_monai.apps.node.metrics import CONTENT_TYPE, metrics
from fetal_monai.apps.node.queue import Queue
from fetal_monai.apps.node.status_page import message_page, status_page, study_page
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.utils.closing import Closing
from fetal_monai.utils.ports import listening

LOG = logging.getLogger(__name__)
TOKEN_FILE = "status.token"  # noqa: S105  # its name
_OURS = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
_KEY = re.compile(r"[0-9a-f]{32}")
_HTML, _PLAIN = "text/html; charset=utf-8", "text/plain; charset=utf-8"
_BODY = 4096
_CLIENTS = 16
_SILENCE_S = 10


class StatusServer(Closing):
    """Answers from the moment it is made until it is closed.

    Args:
        address: host and port; port 0 takes a free one.
        storage: the storage folder of the node. The token is written into it, readable by the node's user alone.
        limits: of the node.
        health: of the node.

    Attributes:
        port: that it listens on.

    Raises:
        InputError: if the address cannot be used, or there is no queue in the folder.
    """

    def __init__(self, address: tuple[str, int], storage: Path, limits: NodeLimits, health: Health) -> None:
        with contextlib.ExitStack() as stack:
            queue = stack.enter_context(Queue(storage))
            with listening(address, "--status-port"):
                self._server = _Server(address, _Handler)
            stack.callback(self._server.server_close)
            self._server.about(queue, storage, limits, health, _new_token(storage))
            self._stack = stack.pop_all()
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="node-status")
        self._thread.start()
        LOG.info("status page: http://127.0.0.1:%d/; token: %s", self.port, storage / TOKEN_FILE)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._stack.close()


def _new_token(storage: Path) -> str:
    """One that holds for this run of the node: who may read the storage folder may have studies tried again."""
    token = secrets.token_urlsafe(24)
    path = storage / TOKEN_FILE
    try:
        handle, name = tempfile.mkstemp(prefix=f".{TOKEN_FILE}.", dir=storage)  # of mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(token + "\n")
        Path(name).replace(path)
    except OSError as error:
        raise InputError(path, [f"cannot be written ({error.strerror}); make room"]) from None
    return token


class _Server(ThreadingHTTPServer):
    """A thread for each request, of few at a time."""

    daemon_threads = True
    block_on_close = False  # a client that dawdles does not keep the node from ending

    def about(self, queue: Queue, storage: Path, limits: NodeLimits, health: Health, token: str) -> None:
        self.queue, self.storage, self.limits, self.health, self.token = queue, storage, limits, health, token
        self._places = threading.BoundedSemaphore(_CLIENTS)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # not HTTPServer's, which asks a name server who we are

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a word."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENCE_S
    server_version, sys_version = "fetal_monai", ""
    headers_of_all: ClassVar[dict[str, str]] = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # with no-referrer the form's own request would come from Origin null
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }

    def do_GET(self) -> None:
        self._guarded(self._get)

    def do_HEAD(self) -> None:
        self._guarded(self._get)

    def do_POST(self) -> None:
        self._guarded(self._retry)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Stay silent: what a client asks for is its own text."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer what is no request that is known here; nothing of it is repeated."""
        self._nonce, self.close_connection = "", True
        self._send(code, f"{HTTPStatus(code).phrase}\n", _PLAIN)

    def _guarded(self, answer: Any) -> None:
        """Answer neither another web site's requests nor a name that was bent to point here (DNS rebinding)."""
        self._nonce = secrets.token_urlsafe(16)
        hosts, origins = self.headers.get_all("Host") or [], self.headers.get_all("Origin") or []
        if len(hosts) != 1 or not _OURS.fullmatch(hosts[0]) or origins not in ([], [f"http://{hosts[0]}"]):
            self._send(HTTPStatus.FORBIDDEN, "only pages of this server may ask it\n", _PLAIN)
            return
        try:
            answer()
        except ValueError:  # of urllib, about what is no URL or no form
            self._say(HTTPStatus.BAD_REQUEST, "That is no request of this page.")
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            LOG.error("the status page: %s", type(error).__name__)  # noqa: TRY400
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "the queue cannot be read\n", _PLAIN)

    def _get(self) -> None:
        parts = urlsplit(self.path)
        about = self.server
        kind, _, key = parts.path[1:].partition("/")
        if parts.path == "/health":
            self._health()
        elif parts.path == "/metrics":
            healthy = not about.health.problems()
            self._send(HTTPStatus.OK, metrics(about.queue, about.storage, about.limits, healthy=healthy), CONTENT_TYPE)
        elif parts.path == "/":
            tried = parse_qs(parts.query, max_num_fields=5).get("tried", [""])[0]
            problems = about.health.problems()
            page = status_page(about.queue, nonce=self._nonce, problems=problems, tried=tried)
            self._send(HTTPStatus.OK, page)
        elif parts.path == "/favicon.ico":  # every browser asks for one
            self._send(HTTPStatus.NO_CONTENT, "")
        elif kind == "study" and _KEY.fullmatch(key):
            found = study_page(about.queue, about.storage, key, nonce=self._nonce)
            self._say(HTTPStatus.NOT_FOUND, "There is no such study.") if found is None else self._send(200, found)
        else:
            self._say(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _health(self) -> None:
        problems = self.server.health.problems()
        try:
            self.server.queue.rows_of("SELECT 1 FROM studies LIMIT 1")
        except sqlite3.Error:
            problems.append("the queue cannot be read")
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        self._send(status, "\n".join(problems or ["ok"]) + "\n", _PLAIN)

    def _retry(self) -> None:
        if self.path != "/retry":
            self._say(HTTPStatus.NOT_FOUND, "There is no such page.")
            return
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,5}", length) or int(length) > _BODY or self.headers.get("Transfer-Encoding"):
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is no form of this page.")
            return
        form = parse_qs(self.rfile.read(int(length)).decode("ascii"), max_num_fields=5)
        token, key = (form.get(name, [""])[0] for name in ("token", "study"))
        if not hmac.compare_digest(token.strip().encode("utf-8", "replace"), self.server.token.encode()):
            LOG.warning("status page: a retry with a wrong token was refused")
            self._say(HTTPStatus.FORBIDDEN, f"The token is wrong: it is in {TOKEN_FILE} of the storage folder.")
            return
        study = self.server.queue.study(key) if _KEY.fullmatch(key) else None
        try:
            if study is not None:
                self.server.queue.retry(key)
        except FetalMonaiError:
            study = None  # somebody was faster
        if study is None:
            self._say(HTTPStatus.CONFLICT, "That study has not failed, or no longer: there is nothing to do.")
            return
        LOG.info("study %s: to be tried again, by the status page", study.uid)
        self._send(HTTPStatus.SEE_OTHER, "", Location=f"/?tried={key}")

    def _say(self, status: HTTPStatus, message: str) -> None:
        self._send(status, message_page(f"DICOM node: {status.phrase.lower()}", message, nonce=self._nonce))

    def _send(self, status: int, text: str, kind: str = _HTML, **headers: str) -> None:
        body = text.encode("utf-8", "backslashreplace")
        policy = (
            f"default-src 'none'; style-src 'nonce-{self._nonce}'; script-src 'nonce-{self._nonce}'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        sent = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": policy}
        self.send_response(status)
        for name, value in {**sent, **self.headers_of_all, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
