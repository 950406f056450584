"""Interleaved timing of several ways to do the same work, so that other load on the machine affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from slimline.pipeline.progress import Advance


class Way(NamedTuple):
    """One way to do a piece of work: `call` does `pieces` pieces and waits for their end, in the context `within`."""

    call: Callable[[], Any]
    pieces: int = 1
    within: Callable[[], AbstractContextManager[Any]] = nullcontext


class Timing(NamedTuple):
    """Milliseconds per piece of work, one value per repetition, and the seconds of the first call.

    The first call includes tracing, optimizing and compiling. `milliseconds` are by wall clock. `processor_ms` are the
    processor time of all threads of this program, without the work of a GPU. Other programs hardly change them: with
    work for seven cores on two, minimum and median differed by 2 to 8%, those of the wall clock by 4 to 170%.
    """

    milliseconds: list[float]
    processor_ms: list[float]
    first_seconds: float

    @property
    def median_ms(self) -> float:
        """The median of all repetitions."""
        return statistics.median(self.milliseconds)


def time_interleaved(ways: Mapping[str, Way], repetitions: int, advance: Advance) -> dict[str, Timing]:
    """Call each way once to prepare it, then all ways in turn, `repetitions` times; `advance` counts the calls."""
    times = {name: Timing([], [], _seconds(way, advance)[0]) for name, way in ways.items()}
    for _ in range(repetitions):
        for name, way in ways.items():
            seconds, processor_seconds = _seconds(way, advance)
            times[name].milliseconds.append(1000 * seconds / way.pieces)
            times[name].processor_ms.append(1000 * processor_seconds / way.pieces)
    return times


def _seconds(way: Way, advance: Advance) -> tuple[float, float]:
    """Call a way once, and return the seconds by wall clock, and the processor seconds of all threads."""
    with way.within():
        started, processor_started = time.perf_counter(), time.process_time()
        way.call()
        seconds = time.perf_counter() - started, time.process_time() - processor_started
    advance()
    return seconds
