"""Signals that ask a long operation to stop, handled at its next safe point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slimline.pipeline.errors import Stopped

HANDLED = (signal.SIGINT, signal.SIGTERM)


def stopped(number: int, where: str) -> Stopped:
    """Return the exception for work that a signal stopped; `where` says where it stopped and what is kept."""
    return Stopped(number, f"Stopped by {signal.Signals(number).name} {where}", "Run the same command again to resume.")


@contextmanager
def handling_signals() -> Iterator[Callable[[], int | None]]:
    """Delay Ctrl-C and SIGTERM inside the block; yield a function that returns the signal that arrived, or None.

    A second Ctrl-C interrupts at once. Signals are not delayed outside the main thread, where Python allows no
    handlers, or if their handler was not set by Python, because it could not be restored.
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
