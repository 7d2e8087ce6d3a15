"""Sizes and digests of a model folder's files, so that what a download, a checkout or a disk did to them is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.errors import InputError

FILES = "files"
_POINTER = b"version https://git-lfs"


def describe_files(folder: str | PathLike[str], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """List files as `check_files` wants them.

    Args:
        folder: where they are.
        names: of the files.

    Returns:
        `bytes` and `sha256` of each.
    """
    contents = {name: Path(folder, name).read_bytes() for name in names}
    return {name: {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()} for name, raw in contents.items()}


def check_files(folder: str | PathLike[str], files: Mapping[str, Mapping[str, Any]], *, remedy: str) -> None:
    """Compare files with what is written of them.

    Args:
        folder: where they are.
        files: from `describe_files`.
        remedy: what to do about a difference.

    Raises:
        InputError: with a line for each file that is missing, cut off, a pointer of Git LFS or otherwise another.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "model.pt").write_bytes(b"weights")
        >>> files = describe_files(folder, ["model.pt"])
        >>> _ = (folder / "model.pt").write_bytes(b"wei")
        >>> try:
        ...     check_files(folder, files, remedy="copy it again")
        ... except InputError as error:
        ...     print(error.problems)
        ['model.pt is cut off: 3 of 7 bytes; copy it again']
    """
    causes = {name: _cause(Path(folder, name), listed) for name, listed in files.items()}
    problems = [f"{name} {cause}; {remedy}" for name, cause in causes.items() if cause]
    if problems:
        raise InputError(folder, problems)


def _cause(path: Path, listed: Mapping[str, Any]) -> str | None:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if hashlib.sha256(raw).hexdigest() == listed["sha256"]:
        return None
    if raw.startswith(_POINTER):
        return "is a pointer of Git LFS in the file's place (in a checkout, `git lfs pull` fetches it)"
    if len(raw) < listed["bytes"]:
        return f"is cut off: {len(raw)} of {listed['bytes']} bytes"
    return "is damaged: its SHA-256 is not the one on record, or another file has its name"
