"""The fragments of one encapsulated value as one seekable stream: a video of gigabytes is never held."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO


class FragmentStream(io.RawIOBase):
    """The bytes of many stretches of a file, one after the other.

    Args:
        file: the open file; only reads move its position.
        spans: (offset, length) of each fragment's value.
        size: the file's size in bytes; what would lie behind its end is left out.

    Example:
        >>> stream = FragmentStream(io.BytesIO(b"..abc..de"), [(2, 3), (7, 5)], 9)
        >>> stream.read(4), stream.read(), stream.truncated
        (b'abcd', b'e', True)
    """

    def __init__(self, file: BinaryIO, spans: Sequence[tuple[int, int]], size: int) -> None:
        super().__init__()
        self._file = file
        self._starts = [start for start, _ in spans]
        lengths = [max(min(length, size - start), 0) for start, length in spans]
        self._ends = list(accumulate(lengths))
        self._position = 0
        self.length = self._ends[-1] if self._ends else 0
        """Bytes of the whole stream that are there."""
        self.truncated = self.length < sum(length for _, length in spans)
        """Whether the file ends inside the last fragment."""

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether it can be sought in: always."""
        return True

    def tell(self) -> int:
        """The position in the joined stream."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to `offset` from the start, from here or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` across the borders of fragments, as far as the stream goes."""
        view, done = memoryview(buffer).cast("B"), 0
        index = bisect_right(self._ends, self._position)
        while done < len(view) and index < len(self._ends):
            before = self._ends[index - 1] if index else 0
            count = min(self._ends[index] - self._position, len(view) - done)
            self._file.seek(self._starts[index] + self._position - before)
            data = self._file.read(count)
            view[done : done + len(data)] = data
            done += len(data)
            self._position += len(data)
            if len(data) < count:  # the file shrank meanwhile
                break
            index += self._position == self._ends[index]
            while index < len(self._ends) and self._ends[index] == self._position:  # empty fragments
                index += 1
        return done
