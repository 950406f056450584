"""Ways to do the same work, timed in turns, so that what else the machine does slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from slimline.pipeline.progress import Advance


class Way(NamedTuple):
    """One way to do a piece of work: `call` does so many `pieces` and waits for the end, inside `within`."""

    call: Callable[[], Any]
    pieces: int = 1
    within: Callable[[], AbstractContextManager[Any]] = nullcontext


class Timing(NamedTuple):
    """The milliseconds of one piece of work, a value a repetition, and the first call's seconds.

    In these fall tracing, optimising and compiling. `processor_ms` are those of all of this program's threads: other
    programs hardly change them (2 to 8% between the least and the median where two cores had work for seven, and the
    clock's 4 to 170%), but a GPU's work isn't among them.
    """

    milliseconds: list[float]
    processor_ms: list[float]
    first_seconds: float

    @property
    def median_ms(self) -> float:
        """The median of all repetitions."""
        return statistics.median(self.milliseconds)


def time_interleaved(ways: Mapping[str, Way], repetitions: int, advance: Advance) -> dict[str, Timing]:
    """Call each way once to prepare it, then all in turn, so many times; `advance` counts the calls."""
    times = {name: Timing([], [], _seconds(way, advance)[0]) for name, way in ways.items()}
    for _ in range(repetitions):
        for name, way in ways.items():
            seconds, processor_seconds = _seconds(way, advance)
            times[name].milliseconds.append(1000 * seconds / way.pieces)
            times[name].processor_ms.append(1000 * processor_seconds / way.pieces)
    return times


def _seconds(way: Way, advance: Advance) -> tuple[float, float]:
    """Call a way once: seconds by the clock, and of all the program's threads."""
    with way.within():
        started, processor_started = time.perf_counter(), time.process_time()
        way.call()
        seconds = time.perf_counter() - started, time.process_time() - processor_started
    advance()
    return seconds
