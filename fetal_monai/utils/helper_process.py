"""One process that helps this one: what is said to it and what it answers."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_end
from multiprocessing.context import SpawnProcess
from typing import Any, NoReturn, TypeVar

logger = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")
_READY, _TOLD, _DONE, _FAILED = "ready", "told", "done", "failed"  # what a helper says

_to_main: Connection | None = None  # in a helper


class LostError(Exception):
    """A helper is gone; says how it ended."""


class HelperProcess:
    """One process, and the pipe to it. If it dies, the pipe ends, whatever it was about to say.

    Args:
        first: what it calls first, see `HelperProcesses`.
        arguments: of that.

    Attributes:
        alive: whether it may be given work.

    Raises:
        OSError: if it cannot be begun.
    """

    def __init__(self, first: str, arguments: Sequence[object]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_serve, args=(theirs, first, arguments), daemon=True)
        self.alive = True
        self._begun = False
        self._process.start()
        theirs.close()

    def begun(self, seconds: float) -> bool:
        """Whether it is ready, or never will be.

        Args:
            seconds: to wait for that.
        """
        if self.alive and not self._begun and self._pipe.poll(seconds):
            try:
                said, what = self._hear()
            except LostError as lost:
                said, what = _FAILED, lost
            self._begun = said == _READY
            if said == _FAILED:
                self.alive = False
                logger.warning("a process that should help cannot begin (%s); others do its work", what)
        return self._begun or not self.alive

    def do(self, function: Callable[[P], R], part: P, told: Callable[[float], None]) -> R:
        """Let it do a part, and wait.

        Args:
            function: see `HelperProcesses.share`.
            part: of the work.
            told: called with what it tells by `tell_main_process`.

        Returns:
            What the function gives.

        Raises:
            LostError: if it dies meanwhile.
            Exception: what the function raises.
        """
        order = pickle.dumps((function, part))
        try:
            self._pipe.send_bytes(order)
        except OSError:
            self._lost()
        while True:
            said, what = self._hear()
            if said == _TOLD:
                told(what)
            elif said == _FAILED:
                raise what
            else:
                return what  # type: ignore[no-any-return]

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.terminate()
        self._process.join()

    def _hear(self) -> tuple[str, Any]:
        try:
            said, what = pickle.loads(self._pipe.recv_bytes())  # noqa: S301  # from our own process
        except (EOFError, OSError):
            self._lost()
        return said, what

    def _lost(self) -> NoReturn:
        self.alive = False
        self._process.join()
        code = self._process.exitcode
        raise LostError(f"exit status {code}" + (", perhaps for want of memory" if code == -signal.SIGKILL else ""))


def tell_main_process(amount: float) -> None:
    """Let the process that a helper works for know how far it is; for that process's `HelperProcesses.told`.

    Args:
        amount: what was done since the last time.
    """
    if _to_main is not None:
        _to_main.send_bytes(pickle.dumps((_TOLD, amount)))


def _serve(pipe: Connection, first: str, arguments: Sequence[object]) -> None:
    """What a helper does, all its life."""
    global _to_main  # noqa: PLW0603  # a process's own
    _to_main = pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_end_with_main_process, daemon=True).start()
    try:
        module, _, name = first.partition(":")
        getattr(import_module(module), name)(*arguments)
    except Exception as error:  # noqa: BLE001  # whatever it is, the main process tells it
        pipe.send_bytes(_failure(error))
        return
    pipe.send_bytes(pickle.dumps((_READY, None)))
    while True:
        function, part = pickle.loads(pipe.recv_bytes())  # noqa: S301  # from the main process
        try:
            answer = pickle.dumps((_DONE, function(part)))
        except Exception as error:  # noqa: BLE001  # the main process raises it
            answer = _failure(error)
        pipe.send_bytes(answer)


def _failure(error: Exception) -> bytes:
    """An error to be raised elsewhere; in words where it cannot travel."""
    try:
        answer = pickle.dumps((_FAILED, error))
        pickle.loads(answer)  # noqa: S301  # what cannot be read must not be sent
    except Exception:  # noqa: BLE001  # any class may break at that
        return pickle.dumps((_FAILED, RuntimeError("".join(traceback.format_exception(error)))))
    return answer


def _end_with_main_process() -> None:
    """Leave no helper behind a process that was killed."""
    main = multiprocessing.parent_process()
    if main is not None:
        with suppress(OSError):
            wait_for_end([main.sentinel])
        os._exit(1)
