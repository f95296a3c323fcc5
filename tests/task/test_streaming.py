"""Threads: a series made ahead keeps its order, its bound and its errors."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2v_core.errors import InputError
from t2v_core.task.streaming import ahead


@given(st.integers(0, 12), st.integers(1, 5))
def test_a_series_comes_in_order_whatever_the_number_of_threads(count, workers):
    def work(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number**2

    assert list(ahead(work, count, workers=workers)) == [n**2 for n in range(count)]


def test_no_more_is_made_than_the_threads_hold():
    started, gate = [], threading.Event()

    def work(number: int) -> int:
        started.append(number)
        gate.set()
        return number

    series = ahead(work, 100, workers=3)
    assert next(series) == 0
    gate.wait(5)
    time.sleep(0.1)
    assert max(started) <= 3  # those of the first moment, and one for the one that was taken
    series.close()
    assert len(started) < 100


def test_an_error_is_raised_in_its_turn():
    def work(number: int) -> int:
        if number == 2:
            raise InputError("the third cannot be made")
        return number

    found = []
    with pytest.raises(InputError, match="third"):
        for number in ahead(work, 5, workers=4):
            found.append(number)
    assert found == [0, 1]
