"""Work in threads: results in order, few at a time, and no lost errors."""

from __future__ import annotations

import threading
import time

import pytest

from slimline.stages.images.parallel import WINDOW, in_parallel


def test_results_are_in_order():
    def work(number):
        time.sleep(0.02 if number % 2 else 0)
        return number, threading.get_ident()

    found = list(in_parallel(work, range(3 * WINDOW), 4))
    assert [number for number, _ in found] == list(range(3 * WINDOW))
    assert len({thread for _, thread in found}) > 1


def test_at_most_a_window_is_in_memory():
    taken = []

    def items():
        for number in range(4 * WINDOW):
            taken.append(number)
            yield number

    for number in in_parallel(lambda one: one, items(), 2):
        assert len(taken) <= number + WINDOW + 1
    assert len(taken) == 4 * WINDOW


def test_an_error_is_raised_in_its_place():
    def work(number):
        if number == 5:
            raise ValueError("the fifth")
        return number

    found = in_parallel(work, range(40), 2)
    assert [next(found) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="the fifth"):
        next(found)
