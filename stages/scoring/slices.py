"""Slices: metrics on the photos of one camera, one site or one format."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.scoring.intervals import wilson_interval

OF_INDEX = ("group", "format", "note")
"""Columns that every index has; the others are columns of a manifest that ingest kept."""

NONE = "(none)"
TESTED = ("used", "near_twin")
"""Outcomes of photos that may be tested: a near-twin of a test photo is tested in another fold."""


def sliced_metrics(
    index: Path,
    sha256s: Sequence[str],
    targets: NDArray[Any],
    scores: NDArray[Any],
    columns: Sequence[str],
) -> dict[str, dict[str, dict[str, Any]]]:
    """Measure probabilities [count, classes] by each value of each column: count, top1 and its 95% interval.

    Raises:
        UserError: the index doesn't have one of the columns.
    """
    if not columns:
        return {}
    rows = pq.read_table(index, columns=["sha256", "outcome", "details", *OF_INDEX]).to_pylist()
    of_photo = {row["sha256"]: _values(row) for row in rows if row["outcome"] in TESTED}
    known = sorted({name for values in of_photo.values() for name in values})
    measured: dict[str, dict[str, dict[str, Any]]] = {}
    for column in columns:
        if column not in known:
            raise UserError(
                f"evaluate.slices names the column {column!r}, but the index has only {', '.join(known)}.",
                f"Keep a manifest's column when it is ingested: {shlex.quote(f'ingest.columns.keep=[{column}]')}",
            )
        values = np.array([of_photo[sha256].get(column, "") or NONE for sha256 in sha256s])
        measured[column] = {
            str(value): _measured(targets[values == value], scores[values == value]) for value in np.unique(values)
        }
    return measured


def _values(row: Mapping[str, Any]) -> dict[str, str]:
    kept: dict[str, str] = json.loads(row["details"]) if row["details"] else {}
    return {**{name: row[name] or "" for name in OF_INDEX}, **kept}


def _measured(targets: NDArray[Any], scores: NDArray[Any]) -> dict[str, Any]:
    right, count = int(np.sum(scores.argmax(axis=1) == targets)), len(targets)
    return {"count": count, "top1": right / count, "interval": wilson_interval(right, count)}
