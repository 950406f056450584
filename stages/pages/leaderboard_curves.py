"""Learning curves of a sweep's best points, read from the histories of their artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slimline.stages.pages.sweep_folder import Row, Sweep

MOST_CURVES = 10
MEASURES = ("validation_accuracy", "validation_loss")


class Curve(NamedTuple):
    """The history of a point's first seed: the epochs, and for each measure a value per epoch."""

    row: Row
    epochs: Sequence[int]
    measures: dict[str, Sequence[float | None]]


def read_curves(sweep: Sweep, most: int = MOST_CURVES) -> tuple[list[Curve], list[Row]]:
    """Return the curves of the best points, and those of these points whose history was not found.

    The store may have been moved or cleaned since the sweep ran. A stack's history is read once for all its members.
    """
    curves, missing = [], []
    tables: dict[Path, pa.Table] = {}
    for row in sweep.scored[:most]:
        [artifact, *_] = row["artifacts"] or [None]
        [member, *_] = row["members"] or [None]
        path = sweep.folder / artifact / "history.parquet" if artifact else None
        if path is None or not path.is_file():
            missing.append(row)
            continue
        if path not in tables:
            tables[path] = pq.read_table(path)
        curves.append(_curve(row, tables[path], member))
    return curves, missing


def _curve(row: Row, history: pa.Table, member: int | None) -> Curve:
    """Return the curve of a point that trained alone (`member` is None) or as a member of a stack."""
    if member is not None:
        history = history.filter(pc.equal(history["member"], member))
    columns: dict[str, list[Any]] = history.select(["epoch", *MEASURES]).to_pydict()
    return Curve(row, columns["epoch"], {name: columns[name] for name in MEASURES})
