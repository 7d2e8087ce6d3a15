"""Work that is begun before what came before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield each item when the next has been made: what making it begins, as in a pool, goes on meanwhile.

    Args:
        items: made as they are asked for.

    Yields:
        All of them, in order.

    Example:
        >>> def making():
        ...     for number in range(3):
        ...         print("making", number)
        ...         yield number
        >>> for number in one_ahead(making()):
        ...     print("using", number)
        making 0
        making 1
        using 0
        making 2
        using 1
        using 2
    """
    coming = iter(items)
    for waiting in coming:
        item = waiting
        for following in coming:
            yield item
            item = following
        yield item
