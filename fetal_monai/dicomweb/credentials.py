"""Who asks an archive: secrets from the environment or a file, never from the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from fetal_monai.errors import InputError

PREFIX = "FETAL_MONAI_DICOMWEB_"
"""Of the environment variables FETAL_MONAI_DICOMWEB_USER, ..._PASSWORD and ..._TOKEN."""
_KEYS = ("user", "password", "token")


@dataclass(frozen=True)
class Credentials:
    """A user's name and password (HTTP Basic), or a bearer token.

    Args:
        user: the name; with a password.
        password: never shown by `repr`.
        token: likewise; instead of both.

    Example:
        >>> Credentials(user="reader", password="hush")
        Credentials(user='reader')
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})" if self.user is not None else "Credentials(a token)"


def read_credentials(
    file: str | PathLike[str] | None = None, environ: Mapping[str, str] | None = None
) -> Credentials | None:
    """Read what a person keeps in a file or in the environment; the file counts first.

    Args:
        file: lines like `user: reader`, `password: ...`, or `token: ...`. What follows the colon is taken as it is, but
            for spaces at both ends. Empty lines are passed over.
        environ: instead of the environment of this process.

    Returns:
        The credentials; None where there are none, and then `~/.netrc` is asked when a connection is made.

    Raises:
        InputError: if the file cannot be read or says something else, or only half of a pair is there. No message
            repeats a secret.

    Example:
        >>> read_credentials(environ={"FETAL_MONAI_DICOMWEB_USER": "reader", "FETAL_MONAI_DICOMWEB_PASSWORD": "hush"})
        Credentials(user='reader')
    """
    if file is not None:
        return _checked(_lines(Path(file)), str(file), "")
    there = os.environ if environ is None else environ
    found = {key: there[PREFIX + key.upper()] for key in _KEYS if there.get(PREFIX + key.upper())}
    return _checked(found, "environment", PREFIX) if found else None


def _lines(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(path, [f"cannot be read: {reason}; give a file with `user:` and `password:`"]) from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        key, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or key.strip() not in _KEYS:
            problem = f"line {number} begins with neither `user:`, `password:` nor `token:`; write one of these a line"
            raise InputError(path, [problem])
        found[key.strip()] = value.strip()
    return found


def _checked(found: Mapping[str, str], source: str, prefix: str) -> Credentials:
    def name(key: str) -> str:
        return prefix + key.upper() if prefix else f"{key}:"

    complete = set(found) in ({"user", "password"}, {"token"})
    if not complete:
        pair = f"{name('user')} and {name('password')}"
        raise InputError(source, [f"give {pair}, or {name('token')} alone; there is: {', '.join(map(name, found))}"])
    odd = [key for key, value in found.items() if not value or not value.isprintable()]
    if odd:
        raise InputError(source, [f"{name(odd[0])} is empty or holds a line break; write it again"])
    if not found.get("token", "").isascii() or ":" in found.get("user", ""):
        raise InputError(source, ["a token is ASCII, and a user's name has no colon (HTTP allows no other)"])
    return Credentials(**found)
