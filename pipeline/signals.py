"""Signals that ask a long operation to stop: handled at its next safe point instead of at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slimline.pipeline.errors import Stopped

HANDLED = (signal.SIGINT, signal.SIGTERM)


def stopped(number: int, where: str) -> Stopped:
    """Return what ends the work that a signal stopped; `where` says at which place, and what is kept."""
    return Stopped(number, f"Stopped by {signal.Signals(number).name} {where}", "The same command goes on from there.")


@contextmanager
def handling_signals() -> Iterator[Callable[[], int | None]]:
    """Hold back Ctrl-C and SIGTERM inside the block; hand out a function that tells the signal that came, or None.

    A second Ctrl-C counts at once. Outside of the main thread, where Python allows no handlers, nothing is held back;
    nor is a signal whose handler was not set by Python, as it could not be put back.
    """
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.signal(number, note) for number in HANDLED if signal.getsignal(number) is not None}
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
