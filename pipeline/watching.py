"""Reports of a stage that is still at work, so that a point of a sweep that lags behind can end early."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

Listener = Callable[[str, Mapping[str, Sequence[float]]], None]

_listeners: list[Listener] = []


class Pruned(Exception):
    """Raised by a listener to end a stage early. Whatever the stage keeps to resume from stays in the store."""


def report(stage: str, measures: Mapping[str, Sequence[float]]) -> None:
    """Report a stage's measures after each of its epochs so far, by the names of its facts.

    All epochs are reported each time, so that a resumed stage reports what an undisturbed one does.

    Raises:
        Pruned: the stage should end now.
    """
    for listener in _listeners:
        listener(stage, measures)


@contextmanager
def watching(listener: Listener) -> Iterator[None]:
    """Call `listener` with every report inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
