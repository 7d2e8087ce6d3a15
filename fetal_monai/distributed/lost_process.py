"""Where one of several processes is lost, the others end too, and say how to go on."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from typing import NoReturn

from torch import distributed

from fetal_monai.distributed.launch import rank, world_size
from fetal_monai.errors import FetalMonaiError

ENDED = 128 + signal.SIGTERM
GRACE_S = 10.0
_SPOKESMEN = ("0", "1")  # of each machine; two, because one may be the lost one
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused")

_advice: str | None = None
_told = threading.Event()


def explain_lost_process(*, resumable: bool) -> None:
    """Say what to do if torchrun ends this process because another one is lost, or the machine stops.

    torchrun sends SIGTERM. A collective that waits for the lost process keeps Python from handling it, on GPUs for
    ever: so a thread speaks, and ends the process if it has not ended by itself.

    Args:
        resumable: whether --resume True goes on.
    """
    global _advice  # noqa: PLW0603  # a signal knows the process and nothing else
    if _advice is None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.signal(signal.SIGTERM, _end)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=_forget)
        threading.Thread(target=_wait_for_signal, args=(reader,), daemon=True).start()
    _advice = advice(resumable=resumable)


def advice(*, resumable: bool) -> str:
    """Return the message: the causes that are possible, and the command.

    Args:
        resumable: whether --resume True goes on.

    Example:
        >>> "--resume True" in advice(resumable=True), "--resume True" in advice(resumable=False)
        (True, False)
    """
    cause = (
        "one of the processes ended before its time (torchrun's report names it), or this machine was told to stop, "
        "and the others end with it"
    )
    attempt, attempts = (int(os.environ.get(f"TORCHELASTIC_{name}", "0")) for name in ("RESTART_COUNT", "MAX_RESTARTS"))
    if attempt < attempts:
        return f"{cause}; torchrun starts all of them again"
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name.removesuffix(".__main__")] if spec is not None else sys.argv[:1]
    arguments = [*program, *sys.argv[1:]]
    resuming = any(argument.partition("=")[0] in {"--resume", "-resume"} for argument in arguments)
    if resumable and not resuming:
        arguments += ["--resume", "True"]
    machines = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
    options = ["--nproc_per_node", os.environ.get("LOCAL_WORLD_SIZE", "1")]
    options += ["--nnodes", str(machines), "..."] if machines > 1 else []
    then = "go on after the last whole epoch with" if resumable else "nothing is half-written; start again with"
    return f"{cause}; {then}\n  torchrun {' '.join(map(_quoted, [*options, *arguments]))}"


def _quoted(argument: str) -> str:
    """For a shell; a list of files in double quotes, as a person would write it."""
    return f'"{argument}"' if "'" in argument and not set('"$`\\!') & set(argument) else shlex.quote(argument)


def lost_process(error: BaseException) -> FetalMonaiError | None:
    """Recognise the error of a process that waits for one that is no more.

    Args:
        error: what was raised; its causes are followed.

    Returns:
        What to say instead of a traceback; None if it is another error, or this process is alone.
    """
    current: BaseException | None = error
    while current is not None and _advice is not None:
        if isinstance(current, distributed.DistError) or any(words in str(current) for words in _LOST):
            _told.set()
            return FetalMonaiError(_advice)
        current = current.__cause__ or current.__context__
    return None


def _end(*_: object) -> NoReturn:
    """Let the main thread tidy up: temporary files go."""
    raise SystemExit(ENDED)


def _wait_for_signal(reader: int) -> None:
    while signal.SIGTERM not in os.read(reader, 64):
        pass
    if not _told.is_set() and os.environ.get("LOCAL_RANK", "0") in _SPOKESMEN:
        sys.stderr.write(f"\nError in process {rank()} of {world_size()}: {_advice}\n")
        sys.stderr.flush()
    time.sleep(GRACE_S)
    os._exit(ENDED)


def _forget() -> None:
    """In a forked child, such as a worker of a data loader: its signals are its own."""
    with contextlib.suppress(ValueError):  # not the main thread
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
