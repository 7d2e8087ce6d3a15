"""Processes that share a work with this one, where threads would wait for the interpreter and for each other."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing.connection import wait as wait_for_end
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from fetal_monai.utils.closing import Closing

logger = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")
_LOOK_EVERY = 0.2  # seconds between looks at how far the others are, where there is nothing else to do

_so_far: Synchronized[float] | None = None  # in a helper: what all of them have told


class HelperProcesses(Closing):
    """Processes that do parts of a work while this one does others.

    They begin at once and import what the work needs, while this process still imports it itself. They are fresh
    Pythons, so a script that makes some needs its `if __name__ == "__main__":`. Ctrl-C is for this process alone, which
    then ends them. They end with `close`, or when this process does, however that ends.

    Args:
        count: how many, beside this process.
        first: what each of them calls first, "module:function"; by its name, so that this process need not import it.
        arguments: of that function; they can be pickled. What it raises, the work itself will raise again.

    Attributes:
        count: how many.
        arguments: of the first function.

    Example:
        >>> with HelperProcesses(1, "math:sqrt", 2) as helpers:  # doctest: +SKIP
        ...     helpers.share(math.sqrt, [1, 4, 9], here=math.sqrt)
        [1.0, 2.0, 3.0]
    """

    def __init__(self, count: int, first: str, *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        others = {process.pid for process in multiprocessing.active_children()}
        self.count = count
        self.arguments = arguments
        self._so_far = context.Value("d", 0.0)
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(self._so_far,))
        with _interrupts_for_this_process_alone():
            self._ready = [self._pool.submit(_call, first, arguments) for _ in range(count)]
        self._processes = [process for process in multiprocessing.active_children() if process.pid not in others]

    @property
    def told(self) -> float:
        """What the helpers have told by `tell_main_process` so far, in all."""
        return float(self._so_far.value)

    def share(
        self,
        function: Callable[[P], R],
        parts: Sequence[P],
        here: Callable[[P], R],
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[R]:
        """Do all parts of a work; whoever has time takes the next, in their order.

        Should a helper be killed, as a machine does that is short of memory, this process does its part, and all that
        are left: one line of the log says so.

        Args:
            function: what a helper calls with a part: of a module, and everything it takes and gives can be pickled.
            parts: of the work.
            here: what this process calls with a part, in this thread.
            meanwhile: called now and then while this process waits for the last helpers.

        Returns:
            What came of each part, in their order.

        Raises:
            Exception: what `function` or `here` raises; the helpers are ended then.
        """
        waiting = deque(enumerate(parts))
        results = dict[int, R]()

        def serve(ready: Future[None]) -> None:
            """Give one helper a part after another, once there is one that can begin."""
            while waiting and not ready.done():
                wait([ready], timeout=_LOOK_EVERY)
            while waiting:
                try:
                    number, part = waiting.popleft()
                except IndexError:  # another was faster
                    return
                try:
                    results[number] = self._pool.submit(function, part).result()
                except BrokenProcessPool:
                    waiting.append((number, part))
                    return

        with ThreadPoolExecutor(self.count, thread_name_prefix="helper") as threads:
            serving = [threads.submit(serve, ready) for ready in self._ready]
            try:
                while waiting or not all(served.done() for served in serving):
                    _raise_faults(serving)
                    try:
                        number, part = waiting.popleft()
                    except IndexError:
                        wait(serving, timeout=_LOOK_EVERY)
                        meanwhile()
                        continue
                    results[number] = here(part)
                _raise_faults(serving)
            except BaseException:
                waiting.clear()
                self.close()  # or the threads would wait for what nobody wants any more
                raise
        if ended := [process.exitcode for process in self._processes if process.exitcode]:
            logger.warning("%d helping process(es) ended early (exit status %s): out of memory?", len(ended), ended[0])
        return [results[number] for number in range(len(parts))]

    def close(self) -> None:
        """End the helpers, whatever they do."""
        for process in self._processes:
            process.terminate()
        self._pool.shutdown(cancel_futures=True)


def _raise_faults(serving: Sequence[Future[None]]) -> None:
    for served in serving:
        if served.done():
            served.result()


def tell_main_process(amount: float) -> None:
    """Let the process that a helper works for know how far it is; for that process's `HelperProcesses.told`.

    Args:
        amount: what was done since the last time.
    """
    if _so_far is not None:
        with _so_far.get_lock():
            _so_far.value += amount


def _call(name: str, arguments: Sequence[object]) -> None:
    module, _, function = name.partition(":")
    getattr(import_module(module), function)(*arguments)


@contextmanager
def _interrupts_for_this_process_alone() -> Iterator[None]:
    """Keep Ctrl-C from processes that begin in this block: they inherit which signals are blocked."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(so_far: Synchronized[float]) -> None:
    """What a helper does first."""
    global _so_far  # noqa: PLW0603  # a process's own, which only an initializer can be given
    _so_far = so_far
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_end_with_main_process, daemon=True).start()


def _end_with_main_process() -> None:
    """Leave no helper behind a process that was killed."""
    main = multiprocessing.parent_process()
    if main is not None:
        with suppress(OSError):
            wait_for_end([main.sentinel])
        os._exit(1)
