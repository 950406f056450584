"""Process many items with threads, in order, without keeping all of them in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

WINDOW = 16
T = TypeVar("T")


def in_parallel(work: Callable[[T], Any], items: Iterable[T], threads: int) -> Iterator[Any]:
    """Map a function over items with threads (0: two for each core), in order, at most `WINDOW` items ahead."""
    waiting = iter(items)
    with ThreadPoolExecutor(threads or 2 * (os.cpu_count() or 1)) as executor:
        running = deque(executor.submit(work, item) for item in islice(waiting, WINDOW))
        while running:
            yield running.popleft().result()
            running.extend(executor.submit(work, item) for item in islice(waiting, 1))
