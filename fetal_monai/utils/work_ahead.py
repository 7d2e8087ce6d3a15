"""Work for a pool, begun before its results are asked for, in order and without an end to wait for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def work_ahead(
    pool: Executor, tasks: Iterable[tuple[T, Callable[[], R]]], ahead: int
) -> Generator[tuple[T, R], None, None]:
    """Yield results in the order of the tasks, some of which are in work meanwhile.

    Use it with `contextlib.closing`: what the pool has not begun is then cancelled, also after an interrupt.

    Args:
        pool: threads or processes.
        tasks: what each is about, and what is to be done; taken as needed.
        ahead: how many are with the pool at most.

    Yields:
        What the task was about, and its result.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from functools import partial
        >>> with ThreadPoolExecutor(2) as pool:
        ...     list(work_ahead(pool, ((number, partial(pow, number, 2)) for number in range(5)), 3))
        [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        for about, task in tasks:
            waiting.append((about, pool.submit(task)))
            if len(waiting) >= ahead:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
