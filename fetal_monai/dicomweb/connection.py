"""An HTTP session to an archive: who asks, whom to trust, how long to wait, how much to take."""

from __future__ import annotations

import logging
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError as TransportError

from fetal_monai.dicomweb.credentials import Credentials
from fetal_monai.dicomweb.faults import ArchiveError, check_answer, explain, origin
from fetal_monai.errors import InputError

logger = logging.getLogger(__name__)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Connection:
    """How to reach a DICOMweb service.

    Args:
        url: of the service, such as https://pacs.hospital:8443/dicom-web. It holds no user, password or query.
        credentials: who asks; None asks `~/.netrc` (or the file that NETRC names), or nobody.
        ca: PEM file of the authorities to trust instead of the public ones.
        client_cert: PEM file with a client certificate, and its key unless that is in `client_key`.
        client_key: PEM file with that key, not encrypted.
        connect_s: seconds to wait for a connection.
        silence_s: seconds of silence after which an answer is given up.
        answer_s: seconds after which an answer is given up however it trickles.
        answer_bytes: of the longest answer that is kept in memory; streams have limits of their own.
        stream_bytes: of the longest answer that is streamed.
        attempts: how often to ask where a failure may pass.
        pause_s: before the second attempt; twice as long before each further one.
        qido_prefix: what comes between the URL and what is searched, where the service has any.
        wado_prefix: likewise, and what is retrieved.
    """

    url: str
    credentials: Credentials | None = None
    ca: str | PathLike[str] | None = None
    client_cert: str | PathLike[str] | None = None
    client_key: str | PathLike[str] | None = None
    connect_s: float = 10.0
    silence_s: float = 60.0
    answer_s: float = 3600.0
    answer_bytes: int = 1 << 26
    stream_bytes: int = 1 << 32
    attempts: int = 4
    pause_s: float = 1.0
    qido_prefix: str | None = None
    wado_prefix: str | None = None


class _Authorization(requests.auth.AuthBase):
    """Who asks, in each request; unlike a header of the session, `~/.netrc` does not replace it."""

    def __init__(self, who: Credentials) -> None:
        basic = b64encode(f"{who.user}:{who.password}".encode()).decode()
        self._value = f"Basic {basic}" if who.token is None else f"Bearer {who.token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class ServiceSession(requests.Session):
    """A session with the one service that was named: it follows no redirection, so what is secret goes to no other."""

    def request(self, method: str, url: str | bytes, *arguments: Any, **options: Any) -> requests.Response:
        """Ask; the options are those of requests, but for redirects.

        Args:
            method: such as GET.
            url: of a resource.
            *arguments: see `requests.Session.request`.
            **options: likewise.

        Returns:
            The answer, of any status.
        """
        return super().request(method, url, *arguments, **{**options, "allow_redirects": False})

    def merge_environment_settings(
        self, url: str, proxies: Any, stream: bool | None, verify: Any, cert: Any
    ) -> dict[str, Any]:
        """Let the session's own authorities win over REQUESTS_CA_BUNDLE, unlike requests; see `requests.Session`.

        Args:
            url: see there.
            proxies: see there.
            stream: see there.
            verify: see there.
            cert: see there.

        Returns:
            The settings.
        """
        settings: dict[str, Any] = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "verify": self.verify} if self.verify is not True else settings


class ArchiveSession(ServiceSession):
    """A session whose failures are explained and whose answers end.

    Args:
        connection: checked by `open_session`.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        if connection.credentials is not None:
            self.auth = _Authorization(connection.credentials)
        if connection.ca is not None:
            self.verify = fspath(connection.ca)
        if connection.client_cert is not None:
            cert = fspath(connection.client_cert)
            self.cert = cert if connection.client_key is None else (cert, fspath(connection.client_key))

    def request(self, method: str, url: str | bytes, *arguments: Any, **options: Any) -> requests.Response:
        """Ask; the options are those of requests, but for redirects and timeouts.

        Args:
            method: such as GET.
            url: of a resource.
            *arguments: see `requests.Session.request`.
            **options: likewise. With `stream`, the body may be as long as `Connection.stream_bytes`.

        Returns:
            An answer of a status below 300, whose body is bounded while it is read.

        Raises:
            ArchiveError: for anything else.
        """
        place = url if isinstance(url, str) else url.decode()
        limit = self._connection.stream_bytes if options.get("stream") else self._connection.answer_bytes
        options |= {"stream": True, "timeout": (self._connection.connect_s, self._connection.silence_s)}
        try:
            answer = super().request(method, url, *arguments, **options)
        except requests.RequestException as error:
            raise explain(error, place) from error
        try:
            check_answer(answer, place)
        except ArchiveError:
            answer.close()
            raise
        answer.raw = _BoundedBody(answer.raw, place, limit, self._connection.answer_s)
        return answer


class _BoundedBody:
    """The body of an answer, as requests reads it, that ends: by bytes, by time, by an explained failure."""

    def __init__(self, raw: Any, url: str, limit: int, seconds: float) -> None:
        self._raw = raw
        self._url = url
        self._limit = limit
        self._seconds = seconds

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield what comes as it comes."""
        seen, end = 0, time.monotonic() + self._seconds
        while True:
            try:
                piece = self._raw.read1(amount, decode_content=decode_content)
            except TransportError as error:
                raise explain(error, self._url) from error
            if not piece:
                return
            seen += len(piece)
            if seen > self._limit or time.monotonic() > end:
                self.close()
                reached = f"{self._limit} bytes" if seen > self._limit else f"{self._seconds:.0f} s"
                raise ArchiveError(
                    f"{origin(self._url)}: an answer has no end: given up at {reached}; look at the archive"
                )
            yield piece

    def close(self) -> None:
        """Leave the rest, and the connection."""
        self._raw.close()

    def release_conn(self) -> None:
        """Give the connection back for the next question."""
        self._raw.release_conn()


def open_session(connection: Connection) -> ArchiveSession:
    """Check how a service is to be reached, and make the session; nothing is sent yet.

    Args:
        connection: where and how.

    Returns:
        The session.

    Raises:
        InputError: if the URL or a certificate file is not right.

    Example:
        >>> open_session(Connection("https://pacs.example/dicom-web")).verify
        True
        >>> open_session(Connection("https://me:hush@pacs.example/dicom-web"))
        Traceback (most recent call last):
        fetal_monai.errors.InputError: https://pacs.example: 1 problem
          a user or password in the URL would end in logs; set FETAL_MONAI_DICOMWEB_USER and ..._PASSWORD instead
    """
    _check_url(connection.url)
    _check_certificates(connection)
    if connection.credentials is not None:
        warn_without_tls(connection.url)
    return ArchiveSession(connection)


def warn_without_tls(url: str) -> None:
    """Warn of a service on another machine that is not asked by https.

    Args:
        url: of it.
    """
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        logger.warning("%s: without TLS, what is secret travels in the clear; use https", origin(url))


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise InputError(
            "the URL of the archive", ["its host or port is not right; write https://host:port/path"]
        ) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_right:
        raise InputError("the URL of the archive", ["it does not begin with http:// or https:// and a host"])
    if parts.username is not None:
        problem = (
            "a user or password in the URL would end in logs; set FETAL_MONAI_DICOMWEB_USER and ..._PASSWORD instead"
        )
        raise InputError(origin(url), [problem])
    if parts.query or parts.fragment:
        raise InputError(origin(url), ["the URL of a service has no ? and no #; give what comes before"])


def _check_certificates(connection: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if connection.ca is not None:
        try:
            context.load_verify_locations(cafile=connection.ca)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise InputError(connection.ca, [f"{_why(error)}; give a PEM file of certificates to trust"]) from None
    if connection.client_key is not None and connection.client_cert is None:
        raise InputError(connection.client_key, ["a key without its certificate; give --client-cert, too"])
    if connection.client_cert is not None:
        try:
            context.load_cert_chain(connection.client_cert, connection.client_key, password=lambda: "")
        except (OSError, ValueError) as error:
            problem = f"{_why(error)}; give PEM: a certificate with its key, which is not encrypted"
            raise InputError(connection.client_cert, [problem]) from None


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return f"cannot be read ({error.strerror})"
    reason = getattr(error, "reason", None) or "it is no PEM, or encrypted"
    return f"cannot be used ({str(reason).lower().replace('_', ' ')})"
