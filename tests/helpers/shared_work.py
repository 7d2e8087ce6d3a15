"""What helpers do in the tests of `HelperProcesses`; by its name, as they are fresh processes."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

from fetal_monai.utils.helper_process import tell_main_process
from fetal_monai.utils.helper_processes import HelperProcesses


def ready(folder):
    """Leave a note with the helper's number, and wait for the other's: one alone could make both first calls."""
    Path(folder, f"ready-{os.getpid()}").touch()
    while len(list(Path(folder).glob("ready-*"))) < 2:
        time.sleep(0.01)


def never_ready():
    time.sleep(600)


def square(number):
    tell_main_process(1)
    time.sleep(0.01)
    return number**2, os.getpid()


def die_of(number):
    """As a machine kills that is short of memory."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2, os.getpid()


def die_once(folder):
    """The first that is asked dies."""
    try:
        Path(folder, "died").touch(exist_ok=False)
    except FileExistsError:
        return square(3)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


class UnreadableError(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} {other}")


def fail_strangely(kind):
    error = UnreadableError("a fault that", kind) if kind == "cannot be read" else ValueError(f"a fault that {kind}")
    if kind == "cannot be pickled":
        error.lock = threading.Lock()
    raise error


def give_a_lock(_):
    return threading.Lock()


def fail_at(number):
    raise OSError(28, f"no space for {number}")


def sleep_long(folder):
    Path(folder, f"asleep-{os.getpid()}").touch()
    time.sleep(600)


if __name__ == "__main__":  # a process with two helpers, to be interrupted or killed from outside
    place = sys.argv[1]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    with HelperProcesses(2, "shared_work:ready", place) as helpers:
        helpers.share(sleep_long, [place] * 3, sleep_long)
