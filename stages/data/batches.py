"""Batches of encoded photos, made ready for a network on every core, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from stages.data.preprocessing import Preprocessing, preprocess
from stages.tensorflow import tf


def prepared_batches(records: Any, wanted: Preprocessing, batch_size: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield (images [batch, side, side, 3] float32, the records' other columns) over a dataset with `encoded`."""

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # TensorFlow carries no types
    def prepare(record: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        others = {name: value for name, value in record.items() if name != "encoded"}
        return preprocess(record["encoded"], wanted), others

    dataset = records.map(prepare, num_parallel_calls=os.cpu_count() or 1, deterministic=True)
    yield from dataset.batch(batch_size).prefetch(2).with_options(without_autotune())


def without_autotune() -> Any:
    """Return dataset options that leave tf.data's tuning thread out.

    Taking it down at a dataset's end stalls for 2.5 s in every third run or so (TensorFlow 2.21, two
    cores), and there is nothing to tune: one call for each core, two batches ahead.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def run_padded(function: Callable[[Any], Any], batch: Any, batch_size: int) -> Any:
    """Call a function of a batch on exactly `batch_size` items, the last one repeated, and drop what is too many.

    A new batch size costs half a second of preparing every layer for it (oneDNN, EfficientNet-Lite0).
    """
    count = len(batch)
    if count == batch_size:
        return function(batch)
    return function(tf.concat([batch, tf.repeat(batch[-1:], batch_size - count, axis=0)], 0))[:count]
