"""Delayed signals: recorded, returned on request, and handled as before afterwards."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from slimline.pipeline.errors import Stopped
from slimline.pipeline.signals import handling_signals, stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_recorded_and_the_work_continues(number):
    with handling_signals() as came:
        assert came() is None
        os.kill(os.getpid(), number)
        assert came() == number
        assert came() == number


def test_the_first_signal_is_the_one_that_counts():
    with handling_signals() as came:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert came() == signal.SIGTERM


def test_a_second_ctrl_c_counts_at_once():
    with handling_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_signal_handlers_are_restored_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), handling_signals():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_no_signal_is_delayed():
    found = []

    def work():
        with handling_signals() as came:
            found.append((came(), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(None, signal.getsignal(signal.SIGTERM))]


def test_the_message_names_the_signal_the_place_and_how_to_resume():
    error = stopped(15, "in phase 2. A checkpoint is kept.")
    assert isinstance(error, Stopped)
    assert isinstance(error, KeyboardInterrupt)
    assert error.signal == 15
    assert str(error).splitlines() == [
        "Stopped by SIGTERM in phase 2. A checkpoint is kept.",
        "Run the same command again to resume.",
    ]


def test_a_handler_that_python_did_not_set_is_kept(monkeypatch):
    own = signal.getsignal
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGTERM else own(number))
    before = own(signal.SIGTERM)
    with handling_signals():
        assert own(signal.SIGTERM) == before
        assert own(signal.SIGINT) != signal.default_int_handler
