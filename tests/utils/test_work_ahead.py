"""Work for a pool, begun ahead: in order, no more than asked for, and cancelled when nobody wants it any more."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.utils.work_ahead import work_ahead


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(1, 3))
def test_results_come_in_the_order_of_the_tasks(numbers, ahead, workers):
    with ThreadPoolExecutor(workers) as pool:
        found = list(work_ahead(pool, ((number, partial(abs, number)) for number in numbers), ahead))
    assert found == [(number, abs(number)) for number in numbers]


def test_no_more_tasks_are_taken_than_are_ahead():
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield number, partial(abs, number)

    with ThreadPoolExecutor(1) as pool, closing(work_ahead(pool, tasks(), 4)) as results:
        next(results)
        assert len(taken) == 4
        next(results)
        assert len(taken) == 5


def test_what_is_not_begun_is_cancelled():
    begun, gate, ran = Event(), Event(), []

    def task(number):
        if number == 1:
            begun.set()
            gate.wait(60)
        ran.append(number)

    with ThreadPoolExecutor(1) as pool:
        with closing(work_ahead(pool, ((number, partial(task, number)) for number in range(9)), 4)) as results:
            next(results)
            begun.wait(60)
        gate.set()
    assert ran == [0, 1]


def test_an_error_is_told_and_ends_it():
    ran = []

    def task(number):
        ran.append(number)
        if number == 2:
            raise ValueError("the third")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="the third"):
        list(work_ahead(pool, ((number, partial(task, number)) for number in range(9)), 3))
    assert len(ran) <= 5
