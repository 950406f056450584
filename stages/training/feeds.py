"""Where a phase's inputs come from: features in memory, views at the cut, or the photos themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photo_cache import PhotoCache
from slimline.stages.data.storing.photos import Photos
from slimline.stages.images.batches import prepared_batches

AHEAD = 3
Rows = Sequence[NDArray[np.int64]] | NDArray[np.int64]
"""Places of photos, a row a batch, all of one length but the last."""


class Feed(Protocol):
    """A split's inputs, by their places; `labels` [count] int64 numbers the classes."""

    labels: NDArray[np.int64]

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield the inputs [batch, ...] float32 of each row of `order`, as an epoch (counted from 0) sees them."""
        ...


class FeaturesFeed:
    """Features [count, width] float32 that lie in memory, the same in each epoch."""

    def __init__(self, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        self.features, self.labels = features, labels
        self._constants: tuple[Any, Any] | None = None

    def constants(self) -> tuple[Any, Any]:
        """Return all features and labels as tensors, made once."""
        if self._constants is None:
            self._constants = tf.constant(self.features), tf.constant(self.labels)
        return self._constants

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield features [batch, width]."""
        for places in order:
            yield tf.constant(self.features[places])


class ViewsFeed:
    """What was kept at the cut: of each photo another view in each epoch, until all had their turn."""

    def __init__(self, cache: PhotoCache, keys: list[list[str]], labels: NDArray[np.int64], turns: NDArray[np.int64]):
        """`keys` [count][views] are the cache's; `turns` [count] says with which view each photo begins."""
        self._cache, self._keys, self.labels, self._turns = cache, keys, labels, turns

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield maps [batch, height, width, channels], read ahead of their use."""
        views = len(self._keys[0])

        def read(places: NDArray[np.int64]) -> Any:
            turns = (self._turns[places] + epoch) % views
            keys = [self._keys[place][turn] for place, turn in zip(places, turns, strict=True)]
            return tf.cast(tf.constant(self._cache.read(keys)), tf.float32)

        yield from _ahead(read, order)


class PhotosFeed:
    """The photos themselves, decoded and augmented anew in each epoch."""

    def __init__(self, photos: Photos, prepare: Callable[[dict[str, Any]], Any]) -> None:
        """`prepare` makes a record's image ready; it may read the record's `number` and `epoch`."""
        self._photos, self.labels = photos, photos.labels
        self._prepare = tf.function(prepare, autograph=False)  # traced once, not in each epoch: that takes 0.4 s

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield images [batch, side, side, 3]."""
        records = self._photos.dataset(np.concatenate(list(order)))
        records = records.map(lambda record: {**record, "epoch": tf.constant(epoch, tf.int64)})
        for images, _ in prepared_batches(records, self._prepare, len(order[0])):
            yield images


def in_order(count: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Return the places from 0 to `count` in rows of `batch_size`, the last of which may be shorter."""
    return np.split(np.arange(count), np.arange(batch_size, count, batch_size))


def _ahead(read: Callable[[NDArray[np.int64]], Any], order: Rows) -> Iterator[Any]:
    """Yield what `read` makes of each row, a few rows ahead in a thread of its own."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1) as executor:
        for row in order:
            waiting.append(executor.submit(read, row))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
