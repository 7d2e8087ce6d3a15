"""Errors meant for the person at the keyboard: each names the place, the cause and the remedy."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from os import PathLike, fspath

MAX_PROBLEMS_SHOWN = 50
OTHER_CLASSES = "train a model of your own for other classes (README, 'Your own data')"
"""The remedy wherever someone asks a model about classes that it does not have."""
_MAKE_ROOM = "make room, or give another folder"
_REMEDIES = {  # of what a disk refuses
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: "give a folder on another disk, or lift the limit on the size of files",
    errno.EROFS: "give a folder that can be written to",
    errno.EACCES: "give a file or folder that you have the right to use",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "a part of this path is a file; check the path",
    errno.ENAMETOOLONG: "give a shorter name",
}
_IN_TEXT = re.compile(r"^fetal_monai\.errors\.\w+: (.+(?:\n  .+)*)", re.MULTILINE)


class FetalMonaiError(Exception):
    """Base of every error whose message is written for a user; its message needs no traceback to be understood."""


class DicomReadError(FetalMonaiError):
    """A DICOM file, or one frame of it, cannot be turned into an image.

    Args:
        path: the file (or directory) that was asked for.
        cause: what is wrong with it, without a full stop at the end.
        remedy: what the user can do about it.
        frame: the zero-based frame asked for, or None when the whole file is at fault.

    Example:
        >>> str(DicomReadError("a.dcm", "the file is empty", "copy it again from the source", frame=3))
        'a.dcm, frame 3: the file is empty; copy it again from the source'
    """

    def __init__(self, path: str | PathLike[str], cause: str, remedy: str, *, frame: int | None = None) -> None:
        self.path = fspath(path)
        self.cause = cause
        self.remedy = remedy
        self.frame = frame
        place = self.path if frame is None else f"{self.path}, frame {frame}"
        super().__init__(f"{place}: {cause}; {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (DataLoader workers, the isolated decoder), keyword arguments included.
        return _rebuild_dicom_read_error, (self.path, self.cause, self.remedy, self.frame)


def _rebuild_dicom_read_error(path: str, cause: str, remedy: str, frame: int | None) -> DicomReadError:
    return DicomReadError(path, cause, remedy, frame=frame)


class InputError(FetalMonaiError):
    """All the problems of one input (an annotation file, a folder, a configuration), reported together.

    Args:
        source: what was being read.
        problems: one line each: row or item, what is wrong, what to do.

    Example:
        >>> print(InputError("labels.csv", ["row 3: split 'tset' is unknown; use train, val or test"]))
        labels.csv: 1 problem
          row 3: split 'tset' is unknown; use train, val or test
    """

    def __init__(self, source: str | PathLike[str], problems: Sequence[str]) -> None:
        self.source = fspath(source)
        self.problems = list(problems)
        shown = self.problems[:MAX_PROBLEMS_SHOWN]
        hidden = len(self.problems) - len(shown)
        lines = [f"{self.source}: {len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"]
        lines += [f"  {problem}" for problem in shown]
        if hidden:
            lines.append(f"  ... and {hidden} more of the same kinds")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.source, self.problems)


def find_user_error(error: BaseException) -> FetalMonaiError | None:
    r"""Find our error inside whatever wraps it.

    MONAI wraps what a transform or a config component raises, and a DataLoader turns an error of its worker process
    into text. A file that the disk has no room for, or that may not be used, counts, too.

    Args:
        error: what was raised; its causes are followed, and tracebacks inside messages are searched.

    Returns:
        The error whose message is written for users, or None if there is none.

    Example:
        >>> print(find_user_error(RuntimeError("... \nfetal_monai.errors.DicomReadError: a.dcm: empty; copy again")))
        a.dcm: empty; copy again
    """
    chain = list(_with_causes(error))
    for current in chain:
        if isinstance(current, FetalMonaiError):
            return current
        match = _IN_TEXT.search(str(current))
        if match:
            return FetalMonaiError(match.group(1))
    for current in chain:
        if isinstance(current, OSError) and current.errno in _REMEDIES and current.filename is not None:
            return FetalMonaiError(f"{current.filename}: {current.strerror}; {_REMEDIES[current.errno]}")
    return None


def first_line(error: BaseException) -> str:
    r"""Give what an error of somebody else's says, as far as it fits into a message of ours.

    Args:
        error: what was raised.

    Returns:
        The first line; of an error without words its kind.

    Example:
        >>> first_line(ValueError("no such key\nat line 3")), first_line(MemoryError())
        ('no such key', 'MemoryError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
