"""Processes that share a work with this one, where threads would wait for the interpreter and for each other."""

from __future__ import annotations

import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from fetal_monai.utils.closing import Closing
from fetal_monai.utils.helper_process import HelperProcess, LostError

logger = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")
_LOOK_EVERY = 0.2  # seconds between looks at how far the others are, where there is nothing else to do


class HelperProcesses(Closing):
    """Processes that do parts of a work while this one does others.

    They begin at once and import what the work needs, while this process still imports it itself. They are fresh
    Pythons, so a script that makes some needs its `if __name__ == "__main__":`. Ctrl-C is for this process alone, which
    then ends them. They end with `close`, or when this process does, however that ends.

    Args:
        count: how many, beside this process.
        first: what each of them calls first, "module:function"; by its name, so that this process need not import it. A
            helper in which that fails does not help, and one line of the log says so.
        arguments: of that function; they can be pickled.

    Attributes:
        count: how many.
        arguments: of the first function.
        told: what the helpers have told by `tell_main_process` of the work that is shared, in all.

    Raises:
        OSError: if a process cannot be begun.

    Example:
        >>> with HelperProcesses(1, "math:sqrt", 2) as helpers:  # doctest: +SKIP
        ...     helpers.share(math.sqrt, [1, 4, 9], here=math.sqrt)
        [1.0, 2.0, 3.0]
    """

    def __init__(self, count: int, first: str, *arguments: object) -> None:
        self.count = count
        self.arguments = arguments
        self.told = 0.0
        self._helpers: list[HelperProcess] = []
        self._closed = False
        self._counting = threading.Lock()
        try:
            with _interrupts_for_this_process_alone():
                for _ in range(count):
                    self._helpers.append(HelperProcess(first, arguments))
        except BaseException:
            self.close()
            raise

    def share(
        self,
        function: Callable[[P], R],
        parts: Sequence[P],
        here: Callable[[P], R],
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[R]:
        """Do all parts of a work; whoever has time takes the next, in their order.

        Should a helper be killed, as a machine does that is short of memory, this process does its part, perhaps for
        the second time, and one line of the log says so.

        Args:
            function: what a helper calls with a part: of a module, and everything it takes and gives can be pickled.
            parts: of the work.
            here: what this process calls with a part, in this thread.
            meanwhile: called now and then while this process waits for the last helpers, and once when all is done, so
                that it sees the last of what they told.

        Returns:
            What came of each part, in their order.

        Raises:
            Exception: what `function` or `here` raises; the helpers are ended then.
            ValueError: if they are already.
        """
        if self._closed:
            raise ValueError("these helpers are closed; make others")
        self.told = 0.0
        waiting = deque(enumerate(parts))
        left = deque[tuple[int, P]]()  # by helpers that died; not for other helpers, which it might kill, too
        results = dict[int, R]()
        serve = partial(self._serve, function=function, waiting=waiting, left=left, results=results)
        with ThreadPoolExecutor(self.count, thread_name_prefix="helper") as threads:
            try:
                serving = [threads.submit(serve, helper) for helper in self._helpers]
                while not all(served.done() for served in serving) or waiting or left:  # in this order
                    try:
                        number, part = (left or waiting).popleft()
                    except IndexError:
                        wait(serving, timeout=_LOOK_EVERY)
                        meanwhile()
                        continue
                    results[number] = here(part)
                for served in serving:
                    served.result()
                meanwhile()
            except BaseException:
                waiting.clear()
                self.close()  # or the threads would wait for what nobody wants any more
                raise
        return [results[number] for number in range(len(parts))]

    def close(self) -> None:
        """End the helpers, whatever they do."""
        self._closed = True
        for helper in self._helpers:
            helper.end()

    def _serve(
        self,
        helper: HelperProcess,
        function: Callable[[P], R],
        waiting: deque[tuple[int, P]],
        left: deque[tuple[int, P]],
        results: dict[int, R],
    ) -> None:
        """Give one helper a part after another."""
        while waiting and not helper.begun(_LOOK_EVERY):
            pass
        while helper.alive:
            try:
                number, part = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = helper.do(function, part, self._hear)
            except LostError as lost:
                left.append((number, part))
                if not self._closed:
                    logger.warning("a process that helped ended early (%s); this one does its part", lost)
            except BaseException:
                waiting.clear()  # nobody begins another part
                raise

    def _hear(self, amount: float) -> None:
        with self._counting:
            self.told += amount


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
