"""A pool without threads does what one with threads does, at once and in the calling thread."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.utils.thread_pool import thread_pool


@given(st.lists(st.integers()), st.integers(0, 3))
def test_results_are_those_of_the_function(numbers, count):
    with thread_pool(count, "square") as pool:
        futures = [pool.submit(pow, number, 2) for number in numbers]
        assert [future.result() for future in futures] == [number**2 for number in numbers]
        assert list(pool.map(pow, numbers, [2] * len(numbers))) == [number**2 for number in numbers]


@pytest.mark.parametrize("count", [0, 1])
def test_whoever_asks_gets_the_error(count):
    with thread_pool(count, "fail") as pool:
        failed = pool.submit(int, "no number")
        assert pool.submit(int, "3").result() == 3
        with pytest.raises(ValueError, match="no number"):
            failed.result()


def test_none_means_the_calling_thread():
    with thread_pool(0, "nobody") as nobody, thread_pool(1, "somebody") as somebody:
        assert nobody.submit(threading.current_thread).result() is threading.current_thread()
        assert somebody.submit(threading.current_thread).result().name.startswith("somebody")


def test_without_threads_nothing_is_done_before_it_is_asked_for():
    done = []
    with thread_pool(0, "lazy") as pool:
        results = pool.map(done.append, range(9))
        next(results)
    assert done == [0]


def test_an_interrupt_is_not_kept_for_later():
    def interrupt():
        raise KeyboardInterrupt

    with thread_pool(0, "interrupted") as pool, pytest.raises(KeyboardInterrupt):
        pool.submit(interrupt)
