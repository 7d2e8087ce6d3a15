"""Writing files and folders so that a killed run leaves either the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends without an error.

    The temporary name keeps the suffix, because many writers choose their format by it. Missing folders are made.

    Args:
        path: the file to be written.

    Yields:
        The temporary path to write to.

    Raises:
        OSError: if it cannot be written; the error names `path`, which is then as it was before.

    Example:
        >>> folder = tempfile.mkdtemp()
        >>> with atomic_path(Path(folder, "a.txt")) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> Path(folder, "a.txt").read_text(), len(os.listdir(folder))
        ('whole', 1)
    """
    target = Path(path)
    if not target.parent.is_dir():  # asking costs less than being refused, and results are many files
        target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.stem[:40]}.{secrets.token_hex(4)}{target.suffix}"
    with _named(target, temporary):
        temporary.touch(exist_ok=False)  # tempfile would make it private, and a result is as public as any other file
    try:
        with _named(target, temporary):
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named(target: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let what the disk says of a temporary file be said of the one that was asked for."""
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        if unnamed or temporary is None or error.filename == os.fspath(temporary):
            error.filename = os.fspath(target)
        raise


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Yield a new folder near `path`; rename it to `path` when the block ends without an error.

    Missing folders above it are made.

    Args:
        path: the folder to be made. It may exist if it is empty.
        replace: whether it may hold something, which then goes.

    Yields:
        The new folder, empty.

    Raises:
        OSError: if it cannot be written; `path` is then as it was before.

    Example:
        >>> folder = tempfile.mkdtemp()
        >>> with atomic_folder(Path(folder, "made")) as fresh:
        ...     _ = (fresh / "a.txt").write_text("whole")
        >>> os.listdir(folder), os.listdir(Path(folder, "made"))
        (['made'], ['a.txt'])
    """
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent))
    try:
        fresh = temporary / "new"
        fresh.mkdir()  # unlike the temporary folder itself, as public as any other
        yield fresh
        if replace and target.exists():
            target.rename(temporary / "old")
        fresh.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write strict JSON (no NaN), whole or not at all.

    Args:
        content: what to write. Names that are no UTF-8 get JSON's own escapes, and are read back as they were.
        path: the file.

    Raises:
        ValueError: if a value is NaN or infinite: undefined values are None.
    """
    _write_text(_json(content, indent=2), path)


def write_json_lines(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write strict JSON as `write_json` does, in long lines: quick to write, yet to be searched and compared.

    Args:
        content: what to write. Each value has a line of its own, and so has each item of a value that is a list.
        path: the file.

    Raises:
        ValueError: if a value is NaN or infinite.

    Example:
        >>> path = Path(tempfile.mkdtemp(), "found.json")
        >>> write_json_lines({"format": 1, "images": [{"frame": 0}, {"frame": 1}]}, path)
        >>> print(path.read_text(), end="")
        {
        "format": 1,
        "images": [
        {"frame": 0},
        {"frame": 1}
        ]
        }
    """
    values = (f"{_json(key)}: {_items_in_lines(value)}" for key, value in content.items())
    _write_text("{\n" + ",\n".join(values) + "\n}", path)


def _items_in_lines(value: Any) -> str:
    return "[\n" + ",\n".join(map(_json, value)) + "\n]" if isinstance(value, list) and value else _json(value)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def _write_text(text: str, path: str | os.PathLike[str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(f"{text}\n".encode("utf-8", "backslashreplace"))
