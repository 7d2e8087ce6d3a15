"""A pool of threads, or of none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

R = TypeVar("R")


def thread_pool(count: int, name: str) -> Executor:
    """A pool of threads.

    Args:
        count: how many. With 0, what is submitted is done at once by the thread that submits it: where a processor has
            one process, switching between threads, and waiting for the interpreter, cost a tenth and gain nothing.
        name: of the threads, in what looks at them.

    Returns:
        A context manager, as every executor is.

    Example:
        >>> with thread_pool(0, "add") as nobody, thread_pool(2, "add") as two:
        ...     nobody.submit(sum, [1, 2]).result(), two.submit(sum, [1, 2]).result()
        (3, 3)
    """
    return ThreadPoolExecutor(count, thread_name_prefix=name) if count else _AtOnce()


class _AtOnce(Executor):
    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        future = Future[R]()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # whoever asks for the result gets it
            future.set_exception(error)
        return future

    def map(self, fn: Callable[..., R], *iterables: Iterable[Any], **_: Any) -> Iterator[R]:
        return map(fn, *iterables)  # one after another, as they are asked for
