"""Feeds of a phase's inputs: features in memory, cached outputs at the cut, or the photos themselves."""

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
"""Indices of photos, one row per batch. All rows have the same length, except possibly the last."""


class Feed(Protocol):
    """A split's inputs, addressed by index; `labels` [count] int64 holds the class numbers."""

    labels: NDArray[np.int64]

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield the inputs [batch, ...] float32 of each row of `order`, for an epoch counted from 0."""
        ...


class FeaturesFeed:
    """Features [count, width] float32 in memory, the same in each epoch."""

    def __init__(self, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        self.features, self.labels = features, labels
        self._constants: tuple[Any, Any] | None = None

    def constants(self) -> tuple[Any, Any]:
        """Return all features and labels as tensors, which are created once."""
        if self._constants is None:
            self._constants = tf.constant(self.features), tf.constant(self.labels)
        return self._constants

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield features [batch, width]."""
        for places in order:
            yield tf.constant(self.features[places])


class ViewsFeed:
    """Cached outputs at the cut: each epoch uses another view of each photo, in rotation."""

    def __init__(self, cache: PhotoCache, keys: list[list[str]], labels: NDArray[np.int64], turns: NDArray[np.int64]):
        """`keys` [count][views] are the keys in the cache; `turns` [count] is the first view of each photo."""
        self._cache, self._keys, self.labels, self._turns = cache, keys, labels, turns

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield feature maps [batch, height, width, channels], read in advance."""
        views = len(self._keys[0])

        def read(places: NDArray[np.int64]) -> Any:
            turns = (self._turns[places] + epoch) % views
            keys = [self._keys[place][turn] for place, turn in zip(places, turns, strict=True)]
            return tf.cast(tf.constant(self._cache.read(keys)), tf.float32)

        yield from _ahead(read, order)


class PhotosFeed:
    """The photos themselves, decoded and augmented again in each epoch."""

    def __init__(self, photos: Photos, prepare: Callable[[dict[str, Any]], Any]) -> None:
        """`prepare` decodes and preprocesses a record's image; it may use the record's `number` and `epoch`."""
        self._photos, self.labels = photos, photos.labels
        self._prepare = tf.function(prepare, autograph=False)  # traced once, not in each epoch: tracing takes 0.4 s

    def batches(self, order: Rows, epoch: int) -> Iterator[Any]:
        """Yield images [batch, side, side, 3]."""
        records = self._photos.dataset(np.concatenate(list(order)))
        records = records.map(lambda record: {**record, "epoch": tf.constant(epoch, tf.int64)})
        for images, _ in prepared_batches(records, self._prepare, len(order[0])):
            yield images


def in_order(count: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Return the indices from 0 to `count` - 1 in rows of `batch_size`; the last row may be shorter."""
    return np.split(np.arange(count), np.arange(batch_size, count, batch_size))


def _ahead(read: Callable[[NDArray[np.int64]], Any], order: Rows) -> Iterator[Any]:
    """Yield the result of `read` for each row; a thread reads a few rows in advance."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1) as executor:
        for row in order:
            waiting.append(executor.submit(read, row))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
