"""The files of a folder of any size, in parts, as they are met: neither their names nor what is done fills memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom.folder_listing import list_files

FIRST_PART, LARGEST_PART = 16, 1024
"""Files in the first part and in the largest: small ones keep all workers busy, large ones are few files to keep."""
_SAME_SIZE = 32


@dataclass(frozen=True)
class Part:
    """Some files that one worker does, and that become one file of Parquet.

    Args:
        files: their paths.
        named: how many of them, the first ones, were named by themselves instead of being found in a folder.

    Example:
        >>> part = Part(("a.dcm", "b.dcm"))
        >>> Part.from_json(part.to_json()) == part, part.name == Part(("b.dcm", "a.dcm")).name
        (True, False)
    """

    files: tuple[str, ...]
    named: int = 0

    @property
    def name(self) -> str:
        """Of its file: the same for the same files, so that a part that is done twice is there once."""
        return f"part-{hashlib.blake2b(self.to_json().encode(), digest_size=10).hexdigest()}.parquet"

    def to_json(self) -> str:
        """Give it as text; names of files that are not UTF-8 stay as they are."""
        return json.dumps([self.named, *self.files])

    @classmethod
    def from_json(cls, text: str) -> Part:
        """Take it from text.

        Args:
            text: from `to_json`.

        Returns:
            The part.
        """
        named, *files = json.loads(text)
        return cls(tuple(files), named)


def list_parts(inputs: Iterable[str | PathLike[str]], done: NDArray[np.uint64]) -> Iterator[Part]:
    """Cut the files that are not yet done into parts, growing ones.

    Args:
        inputs: files, and folders, which are looked through at any depth. A file that is in two of them counts once.
        done: sorted digests of the sources that are done, see `digest`.

    Yields:
        Parts: first the files that were named, then those of each folder.
    """
    paths = dict.fromkeys(Path(item) for item in inputs)
    folders = {path for path in paths if path.is_dir()}
    outer = [path for path in paths if path in folders and not _is_listed_with(path, folders)]
    named = {str(path): None for path in paths if path not in folders}
    found = (file for path in outer for file, _ in list_files(path) if file not in named)
    size, count = FIRST_PART, 0
    for names, is_named in ((named, True), (found, False)):
        files = list[str]()
        for name in names:
            if _is_in(done, digest(source_of(name))):
                continue
            files.append(name)
            if len(files) >= size:
                yield _part(files, is_named)
                files, count = [], count + 1
                size = min(LARGEST_PART, FIRST_PART * 2 ** (count // _SAME_SIZE))
        if files:
            yield _part(files, is_named)


def _is_listed_with(path: Path, folders: set[Path]) -> bool:
    """Whether a folder is looked through with one above it, which passes over hidden ones."""
    above = [parent for parent in path.parents if parent in folders]
    return any(not any(part.startswith(".") for part in path.relative_to(parent).parts) for parent in above)


def _part(files: Sequence[str], is_named: bool) -> Part:
    return Part(tuple(files), len(files) if is_named else 0)


def source_of(path: str) -> str:
    r"""Give the path as tables hold it: what is not UTF-8 in it is written out.

    Args:
        path: of a file.

    Returns:
        Text that any file can hold.

    Example:
        >>> source_of("a.dcm"), source_of(os.fsdecode(b"\xe9.dcm"))
        ('a.dcm', '\\xe9.dcm')
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def digest(source: str) -> int:
    """Shorten a source to 64 bits: of ten million, two are the same by chance once in 400,000 archives.

    Args:
        source: from `source_of`.

    Returns:
        An unsigned integer.

    Example:
        >>> digest("a.dcm") == digest("a.dcm") != digest("b.dcm")
        True
    """
    return int.from_bytes(hashlib.blake2b(source.encode(), digest_size=8).digest(), "little")


def _is_in(done: NDArray[np.uint64], value: int) -> bool:
    place = int(np.searchsorted(done, np.uint64(value)))
    return place < len(done) and int(done[place]) == value
