"""What goes wrong between here and an archive, in words: cause and remedy; and what is worth another try."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import ReadTimeoutError

from fetal_monai.errors import FetalMonaiError

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

CREDENTIALS_REMEDY = (
    "set FETAL_MONAI_DICOMWEB_USER and FETAL_MONAI_DICOMWEB_PASSWORD, or FETAL_MONAI_DICOMWEB_TOKEN, "
    "or give --auth-file"
)
SERVICE_REMEDY = "give the URL of the DICOMweb service, which often ends in /dicom-web or /rs"
_SSL_REASON = re.compile(r"\[SSL: (\w+)\]([^(\[]*)")
_STATUSES = {
    400: ("does not understand the question", SERVICE_REMEDY),
    403: ("does not allow this", "ask its administrator for the right to search and retrieve"),
    404: ("has nothing there", f"check the UID; {SERVICE_REMEDY}"),
    406: ("cannot send instances as they are stored", "ask its administrator"),
}
_WANTS_A_CERTIFICATE = re.compile("alert (certificate required|bad certificate|handshake failure)")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class ArchiveError(FetalMonaiError):
    """An archive does not give what is asked for.

    Args:
        message: place, cause and remedy.
        passing: whether it may go well a moment later.
        status: of HTTP, if the question was refused by one.
    """

    def __init__(self, message: str, *, passing: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.passing = passing
        self.status = status


class ArchiveUnavailableError(ArchiveError):
    """No question to this archive will be answered: it cannot be reached, is not trusted, or refuses who asks."""


def with_retries(ask: Callable[[], Answer], *, attempts: int, pause_s: float) -> Answer:
    """Ask again where a failure may pass: timeouts, broken answers, statuses such as 503.

    Args:
        ask: the question.
        attempts: how often at most, 1 or more.
        pause_s: before the second attempt; twice as long before each further one.

    Returns:
        Its answer.

    Raises:
        ArchiveError: of the last attempt.

    Example:
        >>> with_retries(lambda: "there", attempts=3, pause_s=1.0)
        'there'
    """
    for attempt in range(1, attempts):
        try:
            return ask()
        except ArchiveError as error:
            if not error.passing:
                raise
            logger.info("attempt %d of %d: %s", attempt, attempts, error)
            time.sleep(pause_s * 2 ** (attempt - 1))
    return ask()


def explain(error: Exception, url: str) -> ArchiveError:
    """Say what an exception of requests or urllib3 means to the person at the keyboard.

    Args:
        error: raised while asking, or while reading the answer.
        url: that was asked.

    Returns:
        What to raise instead.

    Example:
        >>> print(explain(requests.ConnectTimeout(), "http://pacs:8042/dicom-web/studies"))
        http://pacs:8042: cannot be reached (ConnectTimeout); check the URL, and that the archive runs and a firewall \
lets you through
    """
    server, text = origin(url), str(error)
    if isinstance(error, requests.exceptions.ReadTimeout | ReadTimeoutError):
        return ArchiveError(f"{server}: does not answer in time; try again when it has less to do", passing=True)
    if isinstance(
        error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError | TransportError
    ):
        return ArchiveError(f"{server}: the answer breaks off before its end; try again", passing=True)
    if isinstance(error, requests.exceptions.SSLError) or _WANTS_A_CERTIFICATE.search(text):
        return ArchiveUnavailableError(f"{server}: {_tls(text)}")
    passing = isinstance(error, requests.ConnectionError)
    remedy = "check the URL, and that the archive runs and a firewall lets you through"
    if isinstance(error, requests.exceptions.ProxyError):
        passing, remedy = False, "its proxy fails: check HTTPS_PROXY, or put the archive into NO_PROXY"
    message = f"{server}: cannot be reached ({type(error).__name__}); {remedy}"
    return ArchiveUnavailableError(message, passing=passing)


def _tls(text: str) -> str:
    match = _SSL_REASON.search(text)
    code, words = (match.group(1), match.group(2).strip(" :")) if match else ("", "")
    if code == "CERTIFICATE_VERIFY_FAILED":
        why = words.removeprefix("certificate verify failed").strip(" :") or "no reason given"
        if "ostname mismatch" in why or "not valid for" in why or "IP address mismatch" in why:
            return f"its certificate is not trusted ({why}); use the name that the certificate is made for"
        return f"its certificate is not trusted ({why}); give that of the authority that signed it with --ca FILE"
    if code in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return "speaks no TLS there; begin the URL with http://, or give the port of its TLS"
    return (
        f"the TLS handshake fails ({(words or code or 'no reason given').lower()}); if the archive asks for a client "
        "certificate, give one that it trusts with --client-cert FILE"
    )


def check_answer(answer: requests.Response, url: str) -> None:
    """Raise if an answer is not what was asked for, by its status and its type.

    Args:
        answer: as it comes, its body not yet read.
        url: that was asked.

    Raises:
        ArchiveError: with cause and remedy.
    """
    status, server = answer.status_code, origin(url)
    if status == 401:
        known = "Authorization" in answer.request.headers
        cause = "refuses the user name and password, or the token (401)" if known else "wants to know who asks (401)"
        remedy = f"check them: {CREDENTIALS_REMEDY}" if known else CREDENTIALS_REMEDY
        raise ArchiveUnavailableError(f"{server}: {cause}; {remedy}", status=status)
    if 300 <= status < 400:
        target = origin(str(answer.headers.get("Location", "")) or url)
        raise ArchiveError(f"{server}: sends elsewhere, to {target} ({status}); give the URL of the service itself")
    if status >= 400:
        passing = status in _PASSING
        cause, remedy = _STATUSES.get(
            status, (f"answers {answer.reason or 'with an error'}", "try again later" if passing else "check the URL")
        )
        message = f"{server}: {cause} ({status}, {urlsplit(url).path}); {remedy}"
        raise ArchiveError(message, passing=passing, status=status)
    if "html" in str(answer.headers.get("Content-Type", "")).lower():
        cause = "answers with a web page (HTML) where DICOM belongs"
        raise ArchiveError(f"{server}: {cause}; {SERVICE_REMEDY}, and check that no login page is in between")


def origin(url: str) -> str:
    """Give scheme, host and port of a URL, nothing that could be secret.

    Args:
        url: any.

    Returns:
        Such as https://pacs:8443.

    Example:
        >>> origin("https://me:hush@pacs:8443/dicom-web?token=hush")
        'https://pacs:8443'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
