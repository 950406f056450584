"""What training measured, epoch by epoch: a Parquet table and TensorBoard's scalars and histograms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.tensorflow import tf


class History:
    """Collects an epoch's measures and writes them as they come."""

    def __init__(self, logs: Path) -> None:
        """Open TensorBoard's files in the folder `logs`."""
        self._writer = tf.summary.create_file_writer(str(logs))
        self._rows: list[dict[str, float]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, epoch: int, **measures: float) -> None:
        """Add an epoch, counted from 0."""
        self._rows.append({"epoch": epoch + 1, **measures})
        with self._writer.as_default(step=epoch + 1):
            for name, value in measures.items():
                tf.summary.scalar(name, value)

    def histograms(self, values: Mapping[str, Any]) -> None:
        """Write the distribution of each named array, at the last epoch."""
        with self._writer.as_default(step=len(self._rows)):
            for name, value in values.items():
                tf.summary.histogram(name, value)

    def write(self, path: Path) -> None:
        """Write the table: one row an epoch, counted from 1; TensorBoard's files are complete then."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._writer.close()
        pq.write_table(pa.Table.from_pylist(self._rows), path)
