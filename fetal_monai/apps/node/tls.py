"""TLS both ways: who we are, and whom we believe (PS3.15 B; what Python's defaults allow is 1.2 and up, verified)."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from fetal_monai.errors import InputError


@dataclass(frozen=True)
class TlsFiles:
    """PEM files.

    Args:
        certificate: of the node, with those between it and its authority; None: the node speaks no TLS.
        key: of the certificate.
        peers: authorities whose certificates peers must have to connect; None asks them for none.
        destination: authorities that may vouch for the destination; None takes those of the system.
    """

    certificate: Path | None = None
    key: Path | None = None
    peers: Path | None = None
    destination: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InputError("--tls-certificate", ["a certificate and its key go together; give --tls-key, too"])
        if self.peers is not None and self.certificate is None:
            raise InputError("--tls-peers", ["needs a certificate of the node's own: give --tls-certificate"])

    def server(self) -> ssl.SSLContext | None:
        """Make the context in which peers are served.

        Returns:
            It, or None for plain connections.

        Raises:
            InputError: if a file cannot be used.
        """
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._own(context)
        if self.peers is not None:
            _trust(context, self.peers)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext:
        """Make the context in which the destination is spoken to; its name must be in its certificate.

        Returns:
            The context.

        Raises:
            InputError: if a file cannot be used.
        """
        context = ssl.create_default_context()
        if self.destination is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            _trust(context, self.destination)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._own(context)
        return context

    @property
    def pair(self) -> tuple[Path, Path] | None:
        """The node's certificate and its key, or None."""
        return None if self.certificate is None or self.key is None else (self.certificate, self.key)

    def _own(self, context: ssl.SSLContext) -> None:
        if self.pair is None:
            return
        certificate, key = self.pair
        for path in self.pair:
            _check(path)
        try:
            context.load_cert_chain(certificate, key, password=lambda: b"")  # never ask at a terminal
        except (OSError, ValueError) as error:
            problem = f"cannot be used with {key} ({_reason(error)}); give a PEM certificate and its key, not encrypted"
            raise InputError(certificate, [problem]) from None


def _trust(context: ssl.SSLContext, path: Path) -> None:
    _check(path)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise InputError(path, [f"holds no certificates ({_reason(error)}); give a PEM file of authorities"]) from None


def _check(path: Path) -> None:
    if not path.is_file():
        raise InputError(path, ["there is no such file"])


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
