"""A sequence whose elements are made as they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class LazySequence(Sequence[T], ABC):
    """What is common to such sequences: positions from the end, slices, and where they end.

    Example:
        >>> class Squares(LazySequence[int]):
        ...     def __len__(self):
        ...         return 4
        ...
        ...     def _make(self, position):
        ...         return position**2
        >>> list(Squares()), Squares()[-1], Squares()[1:3]
        ([0, 1, 4, 9], 9, [1, 4])
    """

    @abstractmethod
    def _make(self, position: int) -> T:
        """Make an element.

        Args:
            position: 0 to the length, not included.
        """

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._make(position) for position in range(*index.indices(len(self)))]
        return self._make(range(len(self))[index])
