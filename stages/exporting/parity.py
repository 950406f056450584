"""Parity of an export with the evaluated model: how often its predictions differ, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.stages.images.batches import prepared_batches, without_autotune
from slimline.stages.images.parallel import in_parallel
from slimline.stages.images.preprocessing_config import Preprocessing

WARM_UP = 1


class Parity(NamedTuple):
    """The measurements of an export.

    `predicted` maps each photo's sha256 to its best class; `changed` lists the sha256 of the photos whose best class
    differs from the evaluated model's; `right` counts the correct predictions. Times are in seconds, at one photo per
    call. `rate` is photos per second in batches, on all cores, including reading and decoding.
    """

    predicted: dict[str, int]
    changed: list[str]
    right: int
    median_seconds: float
    slowest_seconds: float
    rate: float

    @property
    def changed_share(self) -> float:
        """The share of photos whose best class differs."""
        return len(self.changed) / len(self.predicted)


Batch = tuple[Any, Sequence[str], NDArray[np.int64]]
"""A batch of a model's inputs, the photos' sha256, and their true classes."""


def encoded_photos(records: Any, batch_size: int) -> Iterator[Batch]:
    """Yield batches of encoded photos, [batch] strings, from a dataset of records."""
    for batch in records.batch(batch_size).with_options(without_autotune()):
        yield batch["encoded"], _texts(batch), batch["label"].numpy()


def prepared_photos(records: Any, wanted: Preprocessing, batch_size: int) -> Iterator[Batch]:
    """Yield batches of preprocessed images, [batch, side, side, 3] float32, from a dataset of records."""
    for images, others in prepared_batches(records, wanted, batch_size):
        yield images.numpy(), _texts(others), others["label"].numpy()


def _texts(batch: Mapping[str, Any]) -> list[str]:
    return [sha256.decode() for sha256 in batch["sha256"].numpy()]


def measure(
    run: Callable[[Any], NDArray[Any]],
    batches: Iterator[Batch],
    singles: Sequence[Any],
    evaluated: Mapping[str, int],
    at_once: int,
    known: Mapping[str, int] | None = None,
) -> Parity:
    """Run a model on `singles` one by one, then on all photos, `at_once` batches in parallel.

    `evaluated` maps each photo to the evaluated model's best class. A photo that is not in the batches has its best
    class from `known`, or counts as changed.
    """
    median, slowest = latency(run, singles)  # first, because a graph is optimized for one caller, not two
    run_now: dict[str, int] = {}
    right = 0

    def best(batch: Batch) -> tuple[Sequence[str], NDArray[np.int64], NDArray[np.int64]]:
        given, sha256s, labels = batch
        return sha256s, labels, run(given).argmax(axis=1)

    began = time.perf_counter()
    for sha256s, labels, numbers in in_parallel(best, batches, at_once):
        run_now.update(zip(sha256s, numbers.tolist(), strict=True))
        right += int(np.sum(numbers == labels))
    seconds = time.perf_counter() - began
    predicted = {**(known or {}), **run_now}
    changed = [sha256 for sha256, wanted in evaluated.items() if predicted.get(sha256) != wanted]
    return Parity(predicted, changed, right, median, slowest, len(run_now) / seconds)


def latency(run: Callable[[Any], Any], singles: Sequence[Any]) -> tuple[float, float]:
    """Return the median and the 95th percentile of the time per photo, in seconds, after an untimed warm-up."""
    for single in singles[:WARM_UP]:
        run(single)
    seconds = []
    for single in singles:
        began = time.perf_counter()
        run(single)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), float(np.percentile(seconds, 95))
