"""Many strings in little more memory than their bytes take."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from fetal_monai.utils.lazy_sequence import LazySequence


class PackedStrings(LazySequence[str]):
    """A list of strings that only grows. A `str` costs fifty bytes beside its letters, here it is eight.

    Args:
        strings: the first ones.

    Example:
        >>> names = PackedStrings(["a.dcm"])
        >>> names.append("b.dcm")
        >>> list(names), names[-1], names[:1]
        (['a.dcm', 'b.dcm'], 'b.dcm', ['a.dcm'])
    """

    def __init__(self, strings: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])
        for string in strings:
            self.append(string)

    def append(self, string: str) -> None:
        """Add one.

        Args:
            string: any, also a path that is not UTF-8 and holds lone surrogates.
        """
        self._bytes += string.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _make(self, position: int) -> str:
        return self._bytes[self._ends[position] : self._ends[position + 1]].decode("utf-8", "surrogatepass")
