"""Training history: a table of measures with one row per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
"""An epoch: its `phase` (a string), its number `epoch`, counted from 1 over all phases, and a float per measure."""


def add_epoch(rows: list[Row], *, phase: str, epoch: int, **measures: float) -> None:
    """Add an epoch's row.

    Raises:
        ValueError: the epoch's number is not greater than that of the last row.
    """
    last = int(rows[-1]["epoch"]) if rows else 0
    if epoch <= last:
        raise ValueError(f"epoch={epoch} must come after epoch {last}, the last in the history.")
    rows.append({"phase": phase, "epoch": epoch, **{name: float(value) for name, value in measures.items()}})


def curves(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Return the measures that are also facts of the training, after each epoch, by the name of the fact."""
    return {
        "validation_top1": [row["validation_accuracy"] for row in rows],
        "validation_loss": [row["validation_loss"] for row in rows],
    }


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as Parquet; a measure that an epoch lacks is null."""
    pq.write_table(pa.table(_columns(rows)), path)


def write_histories(path: Path, histories: Sequence[Sequence[Row]]) -> None:
    """Write the histories of several trainings as one Parquet file, each row after the training's number `member`."""
    rows = [row for history in histories for row in history]
    numbers = [number for number, history in enumerate(histories) for _ in history]
    columns = {"member": pa.array(numbers, pa.int32()), **_columns(rows)}
    pq.write_table(pa.table(columns), path, compression="zstd")


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
