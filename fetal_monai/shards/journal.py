"""What a worker was at when it died, so that a file that kills every worker does so three times and no more."""

from __future__ import annotations

import os
from pathlib import Path

JOURNALS = ".journal"
"""Folder of the journals of parts that are not done, in the folder of the parts."""

DEATHS = 2
"""How often a worker has to die at a file, with no other at hand, for the file to be given up."""

_BEGIN, _NONE = "begin", "-"


def withdraw_attempts(folder: Path) -> None:
    """Take back the last attempt at each part that is not done: the whole run was stopped, and its workers with it.

    Args:
        folder: of the journals; it may be missing.
    """
    for path in folder.glob("*"):
        _withdraw(path)


def _withdraw(path: Path) -> None:
    before = path.read_text(encoding="ascii").rfind(_BEGIN)
    if before > 0:
        os.truncate(path, before)
    else:
        path.unlink()


class Journal:
    """The attempts at one part, in a file that outlives the worker.

    A part is first done with several files at hand at once, which is fast. If that attempt dies, the next ones take one
    file at a time, so that it can be told which it was.

    Args:
        path: the file.

    Attributes:
        careful: whether to take one file at a time.
        deadly: numbers of the files to leave out.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "journal")
        >>> for _ in range(3):  # the worker dies at file 7 each time
        ...     journal = Journal(path)
        ...     journal.at(7)
        >>> Journal(path).deadly
        {7}
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text(encoding="ascii") if path.exists() else ""
        attempts = [attempt.split() for attempt in text.split(_BEGIN)[1:]]
        last = [int(numbers[-1]) for numbers in attempts if numbers and numbers[-1] != _NONE]
        self.careful = bool(attempts)
        self.deadly = {number for number in last if last.count(number) >= DEATHS}
        self._write(_BEGIN)

    def at(self, number: int) -> None:
        """Note which file comes next, where files come one at a time.

        Args:
            number: its place in the part.
        """
        if self.careful:
            self._write(str(number))

    def after(self) -> None:
        """Note that the rows of that file are made: who dies now does not die of it."""
        if self.careful:
            self._write(_NONE)

    def withdraw(self) -> None:
        """Take the attempt back: it ended by a full disk or an interrupt, and no worker has died."""
        _withdraw(self._path)

    def close(self) -> None:
        """The part is done."""
        self._path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="ascii") as file:
            file.write(f"{line}\n")
