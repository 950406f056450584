"""What an export is worth: how often it differs from the evaluated model, and how fast it is."""

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
    """What was measured of an export.

    `flips` lists the sha256 of the photos whose best class differs; times are in seconds, at one photo a call; `rate`
    is photos a second in batches, on all cores, reading and decoding included.
    """

    names: dict[str, int]
    flips: list[str]
    right: int
    median_seconds: float
    slowest_seconds: float
    rate: float

    @property
    def flipped(self) -> float:
        """The share of photos whose best class differs."""
        return len(self.flips) / len(self.names)


Batch = tuple[Any, Sequence[str], NDArray[np.int64]]
"""A batch of what a model takes, the photos' sha256, and their labels' numbers."""


def encoded_photos(records: Any, batch_size: int) -> Iterator[Batch]:
    """Yield batches of encoded photos [batch] strings over a dataset of records."""
    for batch in records.batch(batch_size).with_options(without_autotune()):
        yield batch["encoded"], _texts(batch), batch["label"].numpy()


def prepared_photos(records: Any, wanted: Preprocessing, batch_size: int) -> Iterator[Batch]:
    """Yield batches of images [batch, side, side, 3] float32, as a model wants them, over a dataset of records."""
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
    unasked: Mapping[str, int] | None = None,
) -> Parity:
    """Run a model one by one over `singles`, then over all photos, `at_once` batches at a time.

    `evaluated` says each photo's best class as it was evaluated. A photo that isn't among the batches has the one that
    `unasked` says, or counts as a flip.
    """
    median, slowest = latency(run, singles)  # first: a graph is optimised for one caller, not two
    asked: dict[str, int] = {}
    right = 0

    def best(batch: Batch) -> tuple[Sequence[str], NDArray[np.int64], NDArray[np.int64]]:
        given, sha256s, labels = batch
        return sha256s, labels, run(given).argmax(axis=1)

    began = time.perf_counter()
    for sha256s, labels, numbers in in_parallel(best, batches, at_once):
        asked.update(zip(sha256s, numbers.tolist(), strict=True))
        right += int(np.sum(numbers == labels))
    seconds = time.perf_counter() - began
    names = {**(unasked or {}), **asked}
    flips = [sha256 for sha256, wanted in evaluated.items() if names.get(sha256) != wanted]
    return Parity(names, flips, right, median, slowest, len(asked) / seconds)


def latency(run: Callable[[Any], Any], singles: Sequence[Any]) -> tuple[float, float]:
    """Return the median and the 95th percentile of one photo's time, in seconds, after some that aren't counted."""
    for single in singles[:WARM_UP]:
        run(single)
    seconds = []
    for single in singles:
        began = time.perf_counter()
        run(single)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), float(np.percentile(seconds, 95))
