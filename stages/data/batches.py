"""Batches of encoded photos, made ready for a network on every core, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stages.data.preprocessing import Preprocessing, preprocess
from stages.tensorflow import tf


def prepared_batches(records: Any, wanted: Preprocessing, batch_size: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield (images [batch, side, side, 3] float32, the records' other columns) over a dataset with `encoded`."""

    def prepare(record: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        others = {name: value for name, value in record.items() if name != "encoded"}
        return preprocess(record["encoded"], wanted), others

    dataset = records.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    yield from dataset.batch(batch_size).prefetch(2)
