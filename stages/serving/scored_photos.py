"""Photos named by a model, as they come: in batches, a few under way at once, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from slimline.stages.data.checking.usable_photos import Looked
from slimline.stages.models.opened import OpenedModel


def scored_photos(
    model: OpenedModel, photos: Iterable[Looked], batch_size: int
) -> Iterator[tuple[Looked, NDArray[Any] | None]]:
    """Yield each photo and its probabilities [classes], or None for one that can't be used.

    What is held at once is a batch for each caller of the model, and one more.
    """
    waiting = iter(photos)
    under_way: deque[tuple[list[Looked], Future[NDArray[Any]] | None]] = deque()
    with ThreadPoolExecutor(model.at_once) as executor:
        while batch := list(islice(waiting, batch_size)):
            usable = [one.encoded for one in batch if not one.reason]
            under_way.append((batch, executor.submit(model.score, usable) if usable else None))
            if len(under_way) > model.at_once:
                yield from _finished(*under_way.popleft())
        while under_way:
            yield from _finished(*under_way.popleft())


def _finished(batch: list[Looked], future: Future[NDArray[Any]] | None) -> Iterator[tuple[Looked, NDArray[Any] | None]]:
    scores = iter(future.result() if future else ())
    for one in batch:
        yield one, None if one.reason else next(scores)
