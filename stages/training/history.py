"""What training measured: a table with a row for each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
"""An epoch: its `phase` (a text), its number `epoch`, counted from 1 over all phases, and a float for each measure."""


def add_epoch(rows: list[Row], *, phase: str, epoch: int, **measures: float) -> None:
    """Add an epoch's row.

    Raises:
        ValueError: the epoch doesn't come after the last one.
    """
    last = int(rows[-1]["epoch"]) if rows else 0
    if epoch <= last:
        raise ValueError(f"epoch={epoch}: it must come after epoch {last}, the last in the history.")
    rows.append({"phase": phase, "epoch": epoch, **{name: float(value) for name, value in measures.items()}})


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as Parquet; what an epoch doesn't have is null."""
    columns = dict.fromkeys(name for row in rows for name in row)
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), path)
