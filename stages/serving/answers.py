"""Result files of `classify`, written as results arrive: Parquet, CSV, JSON Lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from slimline.stages.data.checking.input_files import printable
from slimline.stages.serving.classified import Classified
from slimline.stages.serving.classify_config import Kind
from slimline.stages.serving.left_out import kind_of

COLUMNS = ("path", "rank", "name", "score", "rejected", "threshold")
FAILURES = "failures.jsonl"
ROWS_AT_ONCE = 5_000


class Answers:
    """Open files `predictions.<kind>`, and `failures.jsonl` with one line per photo or file that was left out."""

    def __init__(self, folder: Path, kinds: Sequence[Kind]) -> None:
        self._folder, self._kinds = folder, kinds
        self._stack = ExitStack()
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        opened = {one: self._folder / f"predictions.{one.value}" for one in self._kinds}
        self._parquet = self._csv = self._jsonl = None
        if Kind.parquet in opened:
            self._parquet = self._stack.enter_context(pq.ParquetWriter(opened[Kind.parquet], _schema()))
        if Kind.csv in opened:
            file = self._stack.enter_context(opened[Kind.csv].open("w", encoding="utf-8", newline=""))
            self._csv = csv.DictWriter(file, COLUMNS)
            self._csv.writeheader()
        if Kind.jsonl in opened:
            self._jsonl = self._stack.enter_context(opened[Kind.jsonl].open("w", encoding="utf-8"))
        self._failures = self._stack.enter_context((self._folder / FAILURES).open("w", encoding="utf-8"))
        return self

    def __exit__(self, *error: Any) -> None:
        self._flush()
        self._stack.close()

    def add(self, photo: Classified) -> None:
        """Add the most likely classes of a photo, best first, or the reason why it was left out."""
        path = printable(photo.path)
        if not photo.guesses:
            left_out = {"path": path, "kind": kind_of(photo), "reason": photo.reason}
            self._failures.write(json.dumps(left_out, ensure_ascii=False) + "\n")
            return
        self._rows += [
            dict(zip(COLUMNS, (path, rank, name, score, photo.unknown, photo.threshold), strict=True))
            for rank, (name, score) in enumerate(photo.guesses, 1)
        ]
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._parquet and self._rows:
            self._parquet.write_table(pa.Table.from_pylist(self._rows, _schema()))
        if self._csv:
            self._csv.writerows(self._rows)
        if self._jsonl:
            self._jsonl.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in self._rows)
        self._rows = []


def _schema() -> Any:
    types = (pa.string(), pa.int64(), pa.string(), pa.float64(), pa.bool_(), pa.float64())
    return pa.schema(list(zip(COLUMNS, types, strict=True)))
