"""New names for patients and UIDs: always the same for one secret, and without it not to be guessed or linked."""

from __future__ import annotations

import hmac
import os
import secrets
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import config
from pydicom.uid import UID

from fetal_monai.errors import InputError

_SECRET_BYTES = 32
_FEWEST_BYTES = 16
_MOST_DAYS = 3650


@dataclass(frozen=True)
class Pseudonyms:
    """The pseudonyms of one secret (HMAC-SHA-256).

    Args:
        secret: at least 16 bytes that nobody can guess; whoever has it can test a guessed PatientID.
        given: what was asked so far: (kind, old) to new. It tells who is who.

    Raises:
        ValueError: if the secret is short.

    Example:
        >>> names = Pseudonyms(b"sixteen bytes or more")
        >>> names.uid("1.2.3") == names.uid("1.2.3") != names.uid("1.2.4")
        True
        >>> names.uid("1.2.840.10008.5.1.4.1.1.6.1").name
        'Ultrasound Image Storage'
    """

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(_SECRET_BYTES), repr=False)
    given: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < _FEWEST_BYTES:
            raise ValueError(f"a secret of {len(self.secret)} bytes can be guessed; use {_FEWEST_BYTES} or more")

    def uid(self, old: str) -> UID:
        """Return the UUID-derived UID (PS3.5 B.2) that stands for another.

        Args:
            old: a UID; one of the standard's own (classes, syntaxes, palettes) stays as it is.

        Returns:
            A UID below 2.25.
        """
        given = UID(old, config.IGNORE)
        if not old or given.name != old:  # pydicom has a name for it; its root alone would say nothing of the rest
            return given
        new = f"2.25.{uuid.UUID(bytes=self._digest('uid', old)[:16], version=5).int}"
        self.given["uid", old] = new
        return UID(new)

    def patient(self, old: str) -> str:
        """Return what stands for a PatientID.

        Args:
            old: the PatientID; blanks around it do not count.

        Returns:
            16 hexadecimal digits.
        """
        new = self._digest("patient", old.strip()).hex()[:16].upper()
        self.given["patient", old.strip()] = new
        return new

    def days(self, old: str) -> int:
        """Return by how many days the dates of a patient are shifted.

        Args:
            old: the PatientID.

        Returns:
            1 to 3650 days, into the past.
        """
        return -1 - int.from_bytes(self._digest("days", old.strip())[:8], "big") % _MOST_DAYS

    def _digest(self, kind: str, old: str) -> bytes:
        return hmac.digest(self.secret, f"fetal_monai deidentify 1 {kind} {old}".encode(), "sha256")


def read_key(path: str | os.PathLike[str]) -> tuple[bytes, bool]:
    """Read the secret from a file, or make that file with a new one which only its owner can read.

    Args:
        path: the file.

    Returns:
        The secret, and whether it is new.

    Raises:
        InputError: if it can be neither read nor made, or is too short to be a secret.
    """
    file = Path(path)
    try:
        if not file.exists():
            secret = secrets.token_hex(_SECRET_BYTES).encode()
            write_private(file, secret + b"\n")
            return secret, True
        secret = file.read_bytes().strip()
    except OSError as error:
        raise InputError(file, [f"the key cannot be read or made ({error.strerror}); give another --key"]) from None
    if len(secret) < _FEWEST_BYTES:
        raise InputError(file, [f"is no key: it has fewer than {_FEWEST_BYTES} bytes; name a new file"])
    return secret, False


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, whole or not at all.

    Args:
        path: the file; its folder is made.
        content: what goes into it.

    Raises:
        FileExistsError: if it is there already.
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
