"""An interrupt waits for the end of a block, and is then what it would have been; an end tidies up."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fetal_monai.utils.interrupts import interrupts_afterwards, tidy_termination


@pytest.fixture
def handle():
    """Set a handler of interrupts for one test."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


def interrupted(steps):
    with interrupts_afterwards():
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("to the end")
    steps.append("and on")


def test_it_comes_at_the_end(handle):
    handle(signal.default_int_handler)
    steps = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(steps)
    assert steps == ["to the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_the_block_raises_gives_way_to_it(handle):
    handle(signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        interrupted(None)  # to which nothing can be added


def test_where_interrupts_are_ignored_they_stay_so(handle):
    handle(signal.SIG_IGN)
    steps = []
    interrupted(steps)
    assert steps == ["to the end", "and on"]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_handler_is_asked(handle):
    steps = []
    handle(lambda *_: steps.append("handled"))
    interrupted(steps)
    assert steps == ["to the end", "handled", "and on"]


def test_threads_are_left_alone():
    seen = []
    before = signal.getsignal(signal.SIGINT)

    def work():
        with interrupts_afterwards():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


WAITS = """
import pathlib, tempfile, time
from fetal_monai.utils.interrupts import tidy_termination
with tidy_termination(), tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "image.dcm").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_terminated_process_tidies_up():
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as waiting:
        folder = Path(waiting.stdout.readline().strip())
        assert folder.is_dir()
        waiting.terminate()
        assert waiting.wait(timeout=30) == 128 + signal.SIGTERM
    assert not folder.exists()


def ended(steps):
    with tidy_termination():
        with interrupts_afterwards():
            try:
                signal.raise_signal(signal.SIGTERM)
                steps.append("to the end")
            except SystemExit:  # as native code would that calls Python
                steps.append("swallowed")
        steps.append("and on")


def test_an_end_comes_at_the_end_too():
    steps = []
    with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
        ended(steps)
    assert steps == ["to the end"]


def test_terminations_that_somebody_handles_are_theirs():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("handled"))
    try:
        with tidy_termination():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == ["handled"]
    with tidy_termination():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


LOST = """
import os, signal, sys, time
from fetal_monai.utils.interrupts import heed_lost_interrupts
heed_lost_interrupts()

class Slow:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def forked():
    signal.raise_signal(signal.SIGINT)

if sys.argv[1] == "finalizing":
    slow = Slow()
    del slow
else:
    os.register_at_fork(after_in_parent=forked)
    if os.fork() == 0:
        os._exit(0)
time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork")
@pytest.mark.parametrize("where", ["finalizing", "forking"])
def test_one_that_python_drops_comes_again(where):
    done = subprocess.run([sys.executable, "-c", LOST, where], timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in done.stderr
    assert "Exception ignored" not in done.stderr
