"""Several processes do what one would, whoever dies, fails or is interrupted; and none is left over."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import shared_work
from fetal_monai.utils.helper_processes import HelperProcesses

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
WITHIN = 60  # seconds, for processes that begin on a busy machine


def until(condition):
    end = time.monotonic() + WITHIN
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return found


def started(folder, name):
    return [int(path.name.rpartition("-")[2]) for path in Path(folder).glob(f"{name}-*")]


def gone(pids):
    return not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # of that, only its number is left


@pytest.fixture
def pair(tmp_path):
    with HelperProcesses(2, "shared_work:ready", str(tmp_path)) as helpers:
        until(lambda: len(started(tmp_path, "ready")) == 2)
        yield helpers


def here(number):
    time.sleep(0.02)
    return number**2, os.getpid()


def test_all_take_part_and_results_are_in_order(pair, caplog):
    looks = []
    results = pair.share(shared_work.square, range(60), here, meanwhile=lambda: looks.append(pair.told))
    assert [square for square, _ in results] == [number**2 for number in range(60)]
    workers = [pid for _, pid in results]
    assert len(set(workers)) == 3
    assert pair.told == sum(pid != os.getpid() for pid in workers)
    assert pair.share(shared_work.square, range(9), here)[8][0] == 64
    assert pair.told <= 9, "of this work alone"
    assert pair.share(shared_work.square, [], here) == []
    assert not caplog.records


def test_the_last_look_sees_all_that_was_told(pair):
    looks = []
    for parts in range(1, 40):  # a helper is the last in some of them
        results = pair.share(shared_work.square, range(parts), here, meanwhile=lambda: looks.append(pair.told))
        assert looks[-1] == sum(pid != os.getpid() for _, pid in results)


def test_what_killed_helpers_leave_is_done_here(pair, caplog):
    results = pair.share(shared_work.die_of, range(20), here)
    assert results == [(number**2, os.getpid()) for number in range(20)]
    assert caplog.text.count("a process that helped ended early (exit status -9, perhaps for want of memory)") == 2
    assert pair.share(shared_work.square, range(3), here) == [(number**2, os.getpid()) for number in range(3)]


def test_a_fault_in_a_helper_is_raised_here_and_ends_all(pair, tmp_path):
    with pytest.raises(OSError, match="no space for"):
        pair.share(shared_work.fail_at, range(20), here)
    until(lambda: gone(started(tmp_path, "ready")))


def test_one_that_dies_takes_no_other_with_it(pair, caplog, tmp_path):
    results = pair.share(shared_work.die_once, [str(tmp_path)] * 60, lambda _: here(3))
    assert [square for square, _ in results] == [9] * 60
    assert len({pid for _, pid in results}) == 2, "a helper and this process"
    assert caplog.text.count("ended early") == 1


@pytest.mark.parametrize("kind", ["cannot be pickled", "cannot be read"])
def test_a_fault_that_cannot_travel_is_told_in_words(pair, kind):
    with pytest.raises(RuntimeError, match=f"a fault that {kind}"):
        pair.share(shared_work.fail_strangely, [kind] * 20, lambda _: time.sleep(0.02))


def test_a_result_that_cannot_travel_is_a_fault(pair):
    with pytest.raises(Exception, match="pickle"):
        pair.share(shared_work.give_a_lock, range(20), here)


def test_a_helper_that_cannot_begin_does_not_help(caplog):
    with HelperProcesses(1, "shared_work:fail_at", 3) as helpers:
        results = helpers.share(shared_work.square, range(100), here)
    assert results == [(number**2, os.getpid()) for number in range(100)]
    assert "a process that should help cannot begin" in caplog.text
    assert "no space for 3" in caplog.text


def test_helpers_that_are_closed_say_so(pair):
    pair.close()
    with pytest.raises(ValueError, match="closed"):
        pair.share(shared_work.square, [1], here)


def test_a_fault_here_waits_for_no_helper(pair, tmp_path):
    def fail(_):
        until(lambda: len(started(tmp_path, "asleep")) == 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pair.share(shared_work.sleep_long, [str(tmp_path)] * 9, fail)
    until(lambda: gone(started(tmp_path, "asleep")))


def test_nobody_waits_for_a_helper_that_is_not_ready():
    with HelperProcesses(1, "shared_work:never_ready") as helpers:
        assert helpers.share(shared_work.square, range(5), here) == [(number**2, os.getpid()) for number in range(5)]


@pytest.fixture
def at_work(tmp_path):
    """A process by itself whose two helpers and it are all in the middle of something."""
    paths = [str(Path(shared_work.__file__).parent), *sys.path]
    main = subprocess.Popen(
        [sys.executable, shared_work.__file__, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: len(started(tmp_path, "asleep")) == 3)
    yield main, started(tmp_path, "asleep")
    main.kill()
    main.communicate()


def test_ctrl_c_is_for_the_main_process(at_work):
    main, pids = at_work
    os.killpg(main.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = main.communicate(timeout=WITHIN)
    assert said.count("Traceback") == 1
    assert said.rstrip().endswith("KeyboardInterrupt")
    until(lambda: gone(pids))


def test_helpers_end_with_a_process_that_was_killed(at_work):
    main, pids = at_work
    main.kill()
    until(lambda: gone(pids))
