"""Where reports go: a DICOM peer by C-STORE, or a DICOMweb service by STOW-RS."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    EnhancedSRStorage,
    KeyObjectSelectionDocumentStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from fetal_monai.apps.node.limits import Status
from fetal_monai.dicomweb.credentials import read_credentials
from fetal_monai.errors import InputError
from fetal_monai.utils.extras import needing

if TYPE_CHECKING:
    from fetal_monai.dicomweb.faults import ArchiveError

_COMMIT = 1  # action type: request storage commitment (PS3.4 J.3.2)
_CONNECT_S, _ANSWER_S = 10, 60


class Unreachable(Exception):  # noqa: N818
    """The destination does not answer as a whole: nothing of what is left needs to be tried now."""


class Destination(Protocol):
    """Where documents go."""

    def send(
        self, paths: Iterable[Path], arrived: Callable[[Path, str | None], None], refused: Callable[[Path, str], None]
    ) -> None:
        """Send documents, one after another.

        Args:
            paths: of them; the next is drawn when the one before it is done.
            arrived: is called for each that the destination has, with the Transaction UID of storage commitment.
            refused: is called for each that it does not want, with its answer.

        Raises:
            Unreachable: if it cannot be reached, or no longer.
        """


@dataclass(frozen=True)
class DicomDestination:
    """A DICOM peer.

    Args:
        aet: its AE title.
        host: its host.
        port: its port.
        own_aet: by which it knows us.
        tls: verifies it; None for plain connections.
        on_commitment: takes its N-EVENT-REPORT, if it comes over the same association.
    """

    aet: str
    host: str
    port: int
    own_aet: str
    tls: ssl.SSLContext | None = None
    on_commitment: Callable[[evt.Event], tuple[int, Dataset | None]] | None = None

    def send(
        self, paths: Iterable[Path], arrived: Callable[[Path, str | None], None], refused: Callable[[Path, str], None]
    ) -> None:
        """Send documents by C-STORE, and ask for storage commitment if the peer offers it; see `Destination`."""
        assoc = self._associate()
        try:
            commitment = any(cx.abstract_syntax == StorageCommitmentPushModel for cx in assoc.accepted_contexts)
            transaction = generate_uid(prefix=None) if commitment else None
            stored = []
            for path in paths:
                document = dcmread(path)
                try:
                    status = assoc.send_c_store(document).get("Status")
                except ValueError:  # pynetdicom: no accepted presentation context
                    refused(path, "its SOP class is not accepted")
                    continue
                except RuntimeError as error:
                    raise Unreachable("the association was lost") from error
                if status is None:
                    raise Unreachable("the association was lost")
                # There already is as good: our UIDs are digests of what they name.
                there = status in (Status.SUCCESS, Status.DUPLICATE_SOP_INSTANCE)
                if there or status >> 12 == 0xB:  # warnings: stored, with reservations
                    arrived(path, transaction)
                    stored.append(document)
                else:
                    refused(path, f"refused with status {status:04X}")
            if transaction and stored:
                self._ask_to_commit(assoc, transaction, stored)
        finally:
            if assoc.is_established:
                assoc.release()

    def _associate(self) -> Any:
        ae = AE(self.own_aet)
        ae.connection_timeout = _CONNECT_S
        ae.acse_timeout = _ANSWER_S
        ae.dimse_timeout = ae.network_timeout = _ANSWER_S
        for sop_class in (EnhancedSRStorage, KeyObjectSelectionDocumentStorage):
            ae.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        ae.add_requested_context(StorageCommitmentPushModel)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self.on_commitment)] if self.on_commitment else []
        tls = (self.tls, self.host) if self.tls else None
        assoc = ae.associate(self.host, self.port, ae_title=self.aet, tls_args=tls, evt_handlers=handlers)
        if not assoc.is_established:
            why = "rejected the association" if assoc.is_rejected else "cannot be reached"
            raise Unreachable(f"{self.aet} at {self.host}, port {self.port}, {why}")
        return assoc

    def _ask_to_commit(self, assoc: Any, transaction: str, stored: Sequence[Dataset]) -> None:
        request = Dataset()
        request.TransactionUID = transaction
        request.ReferencedSOPSequence = []
        for document in stored:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = document.SOPClassUID, document.SOPInstanceUID
            request.ReferencedSOPSequence.append(item)
        try:
            assoc.send_n_action(request, _COMMIT, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        except (RuntimeError, ValueError):
            return  # the documents have arrived, and nobody waits for the answer


class WebDestination:
    """A DICOMweb service. It follows no redirection.

    Args:
        url: of the service.
        auth_file: see `read_credentials`; without it the environment is asked, then `~/.netrc`: a command line is no
            place for what is secret.
        verify: a file of certificates to trust; None trusts those of the system.
        certificate: our own, and its key, if the service asks for one.

    Raises:
        FetalMonaiError: if dicomweb-client is not installed, or a file cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        auth_file: Path | None = None,
        verify: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        with needing("node", "STOW-RS needs dicomweb-client"):
            from dicomweb_client import DICOMwebClient  # noqa: PLC0415

            from fetal_monai.apps.node.stow import open_stow_session  # noqa: PLC0415
            from fetal_monai.dicomweb.connection import Connection, warn_without_tls  # noqa: PLC0415
            from fetal_monai.dicomweb.faults import ArchiveError  # noqa: PLC0415
        own, key = certificate or (None, None)
        who = read_credentials(auth_file)
        if who is None:  # else the session warns, of the secrets as well
            warn_without_tls(url)
        session = open_stow_session(Connection(url, who, verify, own, key, connect_s=_CONNECT_S, silence_s=_ANSWER_S))
        self._client = DICOMwebClient(url, session=session)
        self._error = ArchiveError
        self._client.set_http_retry_params(retry=False)  # retries are persisted, here they would not be

    def send(
        self, paths: Iterable[Path], arrived: Callable[[Path, str | None], None], refused: Callable[[Path, str], None]
    ) -> None:
        """Send documents by STOW-RS; see `Destination`."""
        from fetal_monai.apps.node.stow import OF_THE_SERVICE, why_not_stored  # noqa: PLC0415

        for path in paths:
            document = dcmread(path)
            try:
                answer = self._client.store_instances([document])
            except self._error as error:
                # Who asks and where are nothing that a document could help: it waits until a person has seen to it.
                if error.passing or error.status is None or error.status in OF_THE_SERVICE:
                    raise Unreachable(_in_our_words(error)) from error
                refused(path, f"refused with HTTP status {error.status}")
                continue
            problem = why_not_stored(answer, str(document.SOPInstanceUID))
            if problem is None:
                arrived(path, None)
            else:
                refused(path, problem)


def _in_our_words(error: ArchiveError) -> str:
    """The remedies are those of `predict --dicomweb`, whose options have other names."""
    said = str(error).replace("--ca FILE", "--tls-destination FILE")
    return said.replace("--client-cert FILE", "--tls-certificate and --tls-key")


def parse_destination(
    text: str,
    own_aet: str,
    *,
    tls: Callable[[], ssl.SSLContext],
    auth_file: Path | None = None,
    verify: Path | None = None,
    certificate: tuple[Path, Path] | None = None,
    on_commitment: Callable[[evt.Event], tuple[int, Dataset | None]] | None = None,
) -> Destination:
    """Understand what a person calls a destination.

    Args:
        text: dicom://AET@host:port, dicoms:// for TLS, or the http(s):// URL of a DICOMweb service.
        own_aet: AE title of the node.
        tls: gives the context for dicoms.
        auth_file: see `WebDestination`.
        verify: likewise.
        certificate: likewise.
        on_commitment: see `DicomDestination`.

    Returns:
        The destination.

    Raises:
        InputError: if it is none, or a file cannot be used.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme in ("http", "https") and parts.hostname:
        if parts.username or parts.password:
            problem = "holds a password, which any user of this machine could read; give --auth-file instead"
            raise InputError("--destination", [problem])
        return WebDestination(text, auth_file=auth_file, verify=verify, certificate=certificate)
    aet, _, _ = parts.netloc.rpartition("@")
    if parts.scheme not in ("dicom", "dicoms") or not parts.hostname or not port or not is_aet(aet):
        problem = "is no destination; give dicom://AET@host:port, dicoms://AET@host:port or https://host/dicom-web"
        raise InputError("--destination", [problem])
    if auth_file is not None:
        raise InputError("--auth-file", [f"is for a DICOMweb service, not for {parts.scheme}://; use TLS certificates"])
    context = tls() if parts.scheme == "dicoms" else None
    return DicomDestination(aet, parts.hostname, port, own_aet, context, on_commitment)


def is_aet(text: str) -> bool:
    r"""Whether something can be an AE title (PS3.5 6.2).

    Args:
        text: up to 16 printable characters of ASCII, no backslash, not only spaces.

    Example:
        >>> is_aet("ORTHANC"), is_aet(""), is_aet("A" * 17), is_aet("A\\B")
        (True, False, False, False)
    """
    return bool(re.fullmatch(r"[\x20-\x5B\x5D-\x7E]{1,16}", text) and text.strip())
