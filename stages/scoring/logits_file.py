"""Logits files: one row per photo, with its label and its logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray


def write_logits(path: Path, logits: NDArray[Any], numbers: NDArray[Any], labels: list[str]) -> None:
    """Write logits [count, classes] as float32, and the names of the classes `numbers` [count]."""
    width = logits.shape[1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(logits.astype(np.float32).reshape(-1)), width)
    pq.write_table(pa.table({"label": [labels[number] for number in numbers], "logits": column}), path)


def read_logits(path: Path, labels: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read the logits [count, classes], and each row's place in `labels` [count]."""
    table = pq.read_table(path).combine_chunks()
    places = {name: number for number, name in enumerate(labels)}
    numbers = np.array([places[name] for name in table["label"].to_pylist()], np.int64)
    values = table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(numbers), len(labels)), numbers
