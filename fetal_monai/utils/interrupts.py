"""Ctrl-C while native code runs that would swallow it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_afterwards() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended, then deliver it.

    A native library that calls Python may take the exception of an interrupt for an error of its own, or for none at
    all, and the run would go on. In threads, where no interrupt arrives, nothing changes; where interrupts are ignored,
    as in the background of a shell, they stay so.

    Raises:
        KeyboardInterrupt: at the end of the block, whatever else it raised, if there was one that nobody else handles.

    Example:
        >>> with interrupts_afterwards():
        ...     print("to the end")
        to the end
    """
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupts:
            signal.raise_signal(signal.SIGINT)
