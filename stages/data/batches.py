"""Batches of encoded photos, made ready for a network on every core, in order."""

from __future__ import annotations

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

    dataset = records.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    yield from dataset.batch(batch_size).prefetch(2)


def run_padded(function: Callable[[Any], Any], batch: Any, batch_size: int) -> Any:
    """Call a function of a batch on exactly `batch_size` items, the last one repeated, and drop what is too many.

    A new batch size costs half a second of preparing every layer for it (oneDNN, EfficientNet-Lite0).
    """
    count = len(batch)
    if count == batch_size:
        return function(batch)
    return function(tf.concat([batch, tf.repeat(batch[-1:], batch_size - count, axis=0)], 0))[:count]
