"""Work on many items by threads, in order and without holding all of them."""

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
    """Map over items with threads (0: two for each core), in order, at most a window ahead."""
    waiting = iter(items)
    with ThreadPoolExecutor(threads or 2 * (os.cpu_count() or 1)) as executor:
        under_way = deque(executor.submit(work, item) for item in islice(waiting, WINDOW))
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(executor.submit(work, item) for item in islice(waiting, 1))
