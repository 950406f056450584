"""Cached features: one Arrow file a split, memory-mapped when read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.data.batches import run_prepared
from stages.data.preprocessing import Preprocessing
from stages.progress import Advance

SPREAD = 13.0
"""What a head trains on features of: EfficientNet-Lite0's spread on flowers, for which the default settings are."""


def feature_scale(features: NDArray[np.float32]) -> np.float32:
    """Return the factor that brings features [count, width] to the usual spread: their distance from their mean (RMS).

    MobileNet-v1's spread is 1.7 times EfficientNet-Lite0's: as they are, no one weight decay suits both (half a
    point of accuracy on flowers). Features that are all alike stay as they are.
    """
    spread = np.sqrt(np.sum(np.var(features, axis=0, dtype=np.float64)))
    return np.float32(SPREAD / spread if spread > 0 else 1)


def write_features(
    path: Path,
    records: Any,
    wanted: Preprocessing,
    bottleneck: Callable[[Any], Any],
    batch_size: int,
    advance: Advance,
) -> int:
    """Run the bottleneck over a dataset of records into one Arrow file; return how many there were."""
    count = 0
    writer = None
    with pa.OSFile(str(path), "wb") as file:
        for values, others in run_prepared(bottleneck, records, wanted, batch_size):
            if writer is None:
                schema = pa.schema(
                    [
                        ("sha256", pa.string()),
                        ("label", pa.int64()),
                        ("features", pa.list_(pa.float32(), values.shape[1])),
                    ]
                )
                writer = pa.ipc.new_file(file, schema)
            column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
            names = [name.decode() for name in others["sha256"].numpy()]
            writer.write_batch(
                pa.record_batch([pa.array(names), pa.array(others["label"].numpy()), column], schema=schema)
            )
            count += len(names)
            advance(len(names))
        if writer is not None:
            writer.close()
    return count


def read_features(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read a split's features [count, width] float32 and labels [count] int64."""
    features, labels, _ = feature_arrays(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
    return features, labels


def feature_blocks(
    paths: Sequence[Path], most: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64], pa.Array]]:
    """Yield what several splits' files hold by blocks of like sizes, of about `most` photos at most."""
    readers = [pa.ipc.open_file(pa.memory_map(str(path))) for path in paths]
    batches = [reader.get_batch(number) for reader in readers for number in range(reader.num_record_batches)]
    total = sum(len(batch) for batch in batches)
    size = math.ceil(total / max(1, math.ceil(total / most)))
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        if count >= size:
            yield feature_arrays(pa.Table.from_batches(waiting))
            waiting, count = [], 0
    if waiting:
        yield feature_arrays(pa.Table.from_batches(waiting))


def feature_arrays(table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.int64], pa.Array]:
    """Return a table's features [count, width] float32, labels [count] int64 and sha256 [count] in hex."""
    column = table.column("features").combine_chunks()
    width = column.type.list_size
    return column.flatten().to_numpy().reshape(-1, width), table.column("label").to_numpy(), table.column("sha256")
