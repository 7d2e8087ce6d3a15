"""Signals that end a process: where native code or Python itself would lose them, and as an end that tidies up."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AGAIN_AFTER = 0.1  # seconds, in which Python has left what it was at


@contextmanager
def interrupts_afterwards() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block has ended, then deliver them.

    A native library that calls Python may take the exception of an interrupt for an error of its own, or for none at
    all, and the run would go on. In threads, where no interrupt arrives, nothing changes; where interrupts are ignored,
    as in the background of a shell, they stay so.

    Raises:
        KeyboardInterrupt: at the end of the block, whatever else it raised, if there was one that nobody else handles.
        SystemExit: likewise after SIGTERM, within `tidy_termination`.

    Example:
        >>> with interrupts_afterwards():
        ...     print("to the end")
        to the end
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if None in before.values() or threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    for number in before:
        signal.signal(number, lambda received, _: arrived.append(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for received in dict.fromkeys(arrived):
            signal.raise_signal(received)


@contextmanager
def tidy_termination() -> Iterator[None]:
    """Let SIGTERM unwind the block, as Ctrl-C does: temporary folders with images of patients go.

    Where somebody else handles it, and in threads, nothing changes.

    Raises:
        SystemExit: with status 143, at SIGTERM.

    Example:
        >>> with tidy_termination():
        ...     print("to the end")
        to the end
    """
    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def heed_lost_interrupts() -> None:
    """Let Ctrl-C come again where Python drops it, which then says "Exception ignored": while it forks or finalizes.

    A training that begins an epoch forks its loaders, and would go on as if nobody had asked it to end.
    """
    if not isinstance(sys.unraisablehook, _Again):
        sys.unraisablehook = _Again(sys.unraisablehook)


class _Again:
    def __init__(self, otherwise: Callable[[Any], object]) -> None:
        self._otherwise = otherwise
        self._process = os.getpid()

    def __call__(self, unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._otherwise(unraisable)
        elif os.getpid() == self._process:  # what it has forked, it ends
            again = threading.Timer(_AGAIN_AFTER, _interrupt)
            again.daemon = True
            again.start()


def _interrupt() -> None:
    main = threading.main_thread().ident
    if main is None or not hasattr(signal, "pthread_kill"):  # Windows
        _thread.interrupt_main()
    else:
        signal.pthread_kill(main, signal.SIGINT)  # wakes it, too, where it waits
