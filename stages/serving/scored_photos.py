"""Scores of a stream of photos: in batches, a few at the same time, in order."""

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
    """Yield each photo and its probabilities [classes], or None for a photo that cannot be used.

    At most `model.at_once` + 1 batches are in memory at the same time.
    """
    waiting = iter(photos)
    pending: deque[tuple[list[Looked], Future[NDArray[Any]] | None]] = deque()
    with ThreadPoolExecutor(model.at_once) as executor:
        while batch := list(islice(waiting, batch_size)):
            usable = [one.encoded for one in batch if not one.reason]
            pending.append((batch, executor.submit(model.score, usable) if usable else None))
            if len(pending) > model.at_once:
                yield from _finished(*pending.popleft())
        while pending:
            yield from _finished(*pending.popleft())


def _finished(batch: list[Looked], future: Future[NDArray[Any]] | None) -> Iterator[tuple[Looked, NDArray[Any] | None]]:
    scores = iter(future.result() if future else ())
    for one in batch:
        yield one, None if one.reason else next(scores)
